"""Everything that is stored, in SQLite or PostgreSQL, with one set of queries.

The only package that knows SQL.
"""
