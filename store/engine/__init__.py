"""The database underneath: connections, transactions, statements in bulk, paging. Knows no table
but what it is given.
"""
