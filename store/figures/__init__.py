"""Figures of traffic: how they are counted and written. Whoever changes deliveries counts here, in
the same transaction; `store.stats` reads them.
"""
