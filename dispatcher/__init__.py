"""Sends: lanes, signer, sender, verdict, backoff. Knows HTTP, never AMQP or SQL."""
