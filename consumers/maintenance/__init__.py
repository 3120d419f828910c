"""Background jobs of a dispatcher: callbacks, recoveries, retention, alerts."""
