"""Sending of webhooks: lanes, signer, sender, verdict, backoff. Knows HTTP, never AMQP or SQL."""
