"""Sending of webhooks: lanes, sender, verdict, backoff. Knows HTTP, never AMQP or SQL."""
