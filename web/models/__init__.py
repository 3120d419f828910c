"""Models of what requests hold, and how they are read."""
