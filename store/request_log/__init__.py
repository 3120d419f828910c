"""The request log: every request made with a token, row by row."""
