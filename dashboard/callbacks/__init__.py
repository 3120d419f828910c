"""What the page of a token's callbacks decides without a request: the forms, the words for a
callback's health, and what a test has shown. Pure.
"""
