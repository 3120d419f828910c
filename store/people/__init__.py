"""The people who sign in to the pages: roster, sessions, links, throttling of guesses, and the log
of what was done to them.
"""
