"""Recoveries: jobs that send again what was not delivered."""
