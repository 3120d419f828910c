"""The database engine: connections, transactions, statements in bulk, paging, background threads.

It knows no table except those that a caller passes in.
"""
