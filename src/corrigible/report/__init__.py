"""Evidence in; text, tables and JSON out.  Computes nothing."""
