"""Models of the parameters and bodies of requests, and how they are read."""
