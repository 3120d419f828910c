"""The tables. Times are whole milliseconds since 1970 (`_at`), payloads are bytes, small structures
JSON text.

A delivery that succeeds at once is only ever inserted. `due_at` is the one thing that makes a row
come back: it is set while a delivery is open, to when it is next to be looked at: its next attempt,
or the end of the lease of who has it now.
"""

from store.tables.access import (
    audit_log,
    callbacks,
    directory_marks,
    directory_version,
    requests,
    tokens,
)
from store.tables.base import metadata
from store.tables.traffic import (
    attempts,
    deliveries,
    events,
    outbox,
    requested_attempts,
    status_locks,
)
from store.tables.upkeep import alerts, leases, recoveries

__all__ = [
    "alerts",
    "attempts",
    "audit_log",
    "callbacks",
    "deliveries",
    "directory_marks",
    "directory_version",
    "events",
    "leases",
    "metadata",
    "outbox",
    "recoveries",
    "requested_attempts",
    "requests",
    "status_locks",
    "tokens",
]
