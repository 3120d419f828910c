"""Deliveries: their states, and the health of their callbacks."""
