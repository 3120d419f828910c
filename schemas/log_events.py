"""Every line that a process may write to its log, by name, with its level.

`docs/operations.md` holds the same names in a table for operators; a test compares the two.
"""

from enum import StrEnum
from typing import Self


class LogEvent(StrEnum):
    """The value of `event` in a log line. `level` is the severity: info, warning or error."""

    level: str

    def __new__(cls, name: str, level: str) -> Self:
        """Make a member whose value is `name`."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.level = level
        return member

    ATTEMPT = "attempt", "info"

    STORE_UNAVAILABLE = "store_unavailable", "warning"
    STORE_AVAILABLE = "store_available", "info"
    STORE_SLOW = "store_slow", "warning"
    NOTIFICATIONS_LOST = "notifications_lost", "warning"
    NOTIFICATIONS_UNAVAILABLE = "notifications_unavailable", "warning"
    DIRECTORY_RELOADED = "directory_reloaded", "warning"
    TOKEN_UNREADABLE = "token_unreadable", "error"

    BROKER_CONNECTED = "broker_connected", "info"
    BROKER_DISCONNECTED = "broker_disconnected", "warning"
    BROKER_POLICIES = "broker_policies", "warning"
    PUBLISHING_VIA_BROKER = "publishing_via_broker", "info"
    PUBLISHING_VIA_OUTBOX = "publishing_via_outbox", "warning"
    OUTBOX_WRITE_FAILED = "outbox_write_failed", "error"
    CLAIM_DEFERRED = "claim_deferred", "warning"
    EVENT_CONFLICT = "event_conflict", "warning"

    DEAD_LETTER = "dead_letter", "warning"
    DEAD_LETTERS_IN_OUTBOX = "dead_letters_in_outbox", "warning"
    DEAD_LETTER_WRITE_FAILED = "dead_letter_write_failed", "error"
    EVENTS_RETURNED = "events_returned", "warning"
    RETURNED_WRITE_FAILED = "returned_write_failed", "error"
    RETURNED_SET_ASIDE = "returned_set_aside", "error"

    SETTLEMENT_REFUSED = "settlement_refused", "error"
    ATTEMPT_NOT_RECORDED = "attempt_not_recorded", "error"
    OUTCOME_NOT_RECORDED = "outcome_not_recorded", "error"
    RECOVERY_DONE = "recovery_done", "info"
    RECOVERY_DEFERRED = "recovery_deferred", "warning"
    RETENTION_FAILED = "retention_failed", "error"

    ALERT = "alert", "warning"
    ALERT_DELIVERED = "alert_delivered", "info"
    ALERT_FAILED = "alert_failed", "warning"

    MAIL_SENT = "mail_sent", "info"
    MAIL_FAILED = "mail_failed", "warning"

    TOKENS_EXPORTED = "tokens_exported", "info"
    SIGN_IN_REFUSED = "sign_in_refused", "warning"
    REQUEST_FAILED = "request_failed", "error"
    INTERNAL_ERROR = "internal_error", "error"
    WORKER_ENDED = "worker_ended", "error"
    WORKER_KILLED = "worker_killed", "warning"
    LIBRARY_WARNING = "library_warning", "warning"
    DRAIN_STARTED = "drain_started", "info"
