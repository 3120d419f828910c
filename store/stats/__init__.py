"""Statistics: counts and gauges over what is stored."""
