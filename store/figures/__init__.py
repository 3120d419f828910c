"""Figures of traffic: how they are counted and written. Everything that ends deliveries counts
here, in the same transaction; `store.stats` reads the figures.
"""
