"""Events: their fields, types and samples, and how they are read."""
