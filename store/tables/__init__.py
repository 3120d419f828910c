"""The tables. Times are whole milliseconds since 1970 (`_at`), payloads are bytes, small structures
are JSON text.

A delivery that succeeds at once is only ever inserted. `due_at` alone makes a row come due again.
It is set while a delivery is open: to its next attempt, or to the end of the lease of the
dispatcher that has it.
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
from store.tables.figures import (
    figure_callback_hours,
    figure_gauges,
    figure_hours,
    figure_minutes,
)
from store.tables.mail import mail_notices, mails
from store.tables.people import (
    people,
    people_log,
    saved_views,
    sessions,
    sign_in_failures,
    sign_in_links,
)
from store.tables.traffic import (
    attempts,
    deliveries,
    events,
    outbox,
    requested_attempts,
    status_locks,
)
from store.tables.upkeep import acknowledgements, alerts, leases, recoveries

__all__ = [
    "acknowledgements",
    "alerts",
    "attempts",
    "audit_log",
    "callbacks",
    "deliveries",
    "directory_marks",
    "directory_version",
    "events",
    "figure_callback_hours",
    "figure_gauges",
    "figure_hours",
    "figure_minutes",
    "leases",
    "mail_notices",
    "mails",
    "metadata",
    "outbox",
    "people",
    "people_log",
    "recoveries",
    "requested_attempts",
    "requests",
    "saved_views",
    "sessions",
    "sign_in_failures",
    "sign_in_links",
    "status_locks",
    "tokens",
]
