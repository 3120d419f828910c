"""Deliveries from their first row to their last state: settled, leased, held, probed, released."""
