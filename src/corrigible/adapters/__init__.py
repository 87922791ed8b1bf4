"""Agent frameworks whose tools go through the guard; each module needs its framework installed."""
