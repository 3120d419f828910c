"""What must be remembered, in SQLite or PostgreSQL with one set of queries. The only package that
knows SQL.
"""
