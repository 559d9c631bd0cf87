"""Evidence: what normal looks like, what moved a verdict, typed findings."""
