"""Counts and gauges over what is stored."""
