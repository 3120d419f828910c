"""The values and pure functions that all packages share: no I/O, no framework.

Every other package imports from here; this one imports none of them.
"""
