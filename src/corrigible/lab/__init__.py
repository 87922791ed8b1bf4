"""The literature's worlds and tables, reproduced: theirs, ours, and the verdict."""
