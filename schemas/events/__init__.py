"""Events: their fields, types, samples, and how they are read."""
