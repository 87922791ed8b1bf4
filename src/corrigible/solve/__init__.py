"""Arrays in, arrays out: values, policies, occupancies, reachability, POWER, with their errors."""
