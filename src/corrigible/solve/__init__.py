"""Arrays in, arrays out: values, policies, occupancies, reachability, POWER; each with its error."""
