"""The shapes that everybody shares: plain values and pure functions, no I/O, no framework.

Every other package imports from here; this one imports none of them.
"""
