"""Deliveries: their states, and the health of the callbacks they go to."""
