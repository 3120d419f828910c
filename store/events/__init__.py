"""Events: claimed, kept in the outbox, pulled and listed."""
