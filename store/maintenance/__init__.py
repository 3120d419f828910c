"""Upkeep of the database: retention, leases of jobs that one process does at a time, new keys for
secrets.
"""
