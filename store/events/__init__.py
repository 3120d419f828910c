"""Events as they come in, and as they are listed."""
