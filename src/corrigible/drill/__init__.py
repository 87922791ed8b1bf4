"""Is it stopped: paths, attacks and stops, fired at the guard as it is deployed."""
