"""The pipe through the database's outbox table."""
