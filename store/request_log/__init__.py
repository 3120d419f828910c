"""The request log: what was asked of the API, row by row."""
