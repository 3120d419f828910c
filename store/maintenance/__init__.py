"""Upkeep of the database: retention, leases of jobs that one process does at a time, re-encryption
of secrets, the start of an embedded process.
"""
