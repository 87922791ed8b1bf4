"""Does it: what an agent does in a simulated deployment, counted, compared and checked."""
