"""The pages for people: administrators and operators. Never imports the API; both follow the same
rules and queries, in `web` and `store`.
"""
