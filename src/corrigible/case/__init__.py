"""Claims, gates, incidents: what all the evidence of one deployment comes to."""
