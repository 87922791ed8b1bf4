"""One module for each way in which agents' runs are written down."""
