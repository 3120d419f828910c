"""Identifiers: opaque strings without dots, created here and nowhere else.

A delivery has no id column: it *is* the pair (event, callback), and its public id spells that pair,
so two workers that meet the same delivery can never give it two ids.
"""

import re
import secrets
from typing import NewType

import uuid_utils

from schemas.times import UnixMs

EventId = NewType("EventId", str)
TokenId = NewType("TokenId", str)
CallbackId = NewType("CallbackId", str)
DeliveryId = NewType("DeliveryId", str)
AttemptId = NewType("AttemptId", str)
RequestId = NewType("RequestId", str)
RecoveryId = NewType("RecoveryId", str)
AlertId = NewType("AlertId", str)
ChangeId = NewType("ChangeId", str)
SessionId = NewType("SessionId", str)

EVENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CALLBACK_ID = re.compile(r"[0-9a-f]{16}")
TEST_PREFIX = "evt_test_"
TEST_EVENT_ID_LENGTH = len(TEST_PREFIX) + 32
TEST_EVENT_ID = re.compile(f"{TEST_PREFIX}.{{32}}")
FREE_EVENT_ID = re.compile(f"(?!{TEST_EVENT_ID.pattern}$){EVENT_ID.pattern}")
"""The ids that a backend may give its events: any but those of samples, which are neither counted
nor recovered.
"""

_DELIVERY_PREFIX = "dlv_"
_TIME_ORDERED = re.compile("[a-z]{3}_([0-9a-f]{12})7[0-9a-f]{19}")
"""A prefix and a UUIDv7, which begins with a time in milliseconds (RFC 9562, section 5.7)."""
_CALLBACK_DIGITS = 16


def new_event_id() -> EventId:
    """Return a time-ordered id (UUIDv7), so that neighbours in time are neighbours in the index.
    Makes no system call, which would release the GIL.
    """
    return EventId("evt_" + uuid_utils.uuid7().hex)


def new_test_event_id() -> EventId:
    """Return the id of a sample for one callback, which is neither recovered nor counted."""
    return EventId(TEST_PREFIX + uuid_utils.uuid7().hex)


def is_test_event(event_id: str) -> bool:
    """Return whether an event id is that of a sample."""
    return event_id.startswith(TEST_PREFIX) and len(event_id) == TEST_EVENT_ID_LENGTH


def new_token_id() -> TokenId:
    """Return a time-ordered id."""
    return TokenId("tok_" + uuid_utils.uuid7().hex)


def new_attempt_id() -> AttemptId:
    """Return a time-ordered id."""
    return AttemptId("att_" + uuid_utils.uuid7().hex)


def new_request_id() -> RequestId:
    """Return a time-ordered id; `first_request_id` relies on the order."""
    return RequestId("req_" + uuid_utils.uuid7().hex)


def made_at(text: str) -> UnixMs | None:
    """Return when a time-ordered id was created, by the clock of its process; None for another
    text.
    """
    match = _TIME_ORDERED.fullmatch(text)
    return UnixMs(int(match[1], 16)) if match else None


def first_request_id(at_ms: int) -> RequestId:
    """Return an id above every request id that was created before `at_ms`, and below all others."""
    return RequestId(f"req_{at_ms:012x}")


def new_alert_id() -> AlertId:
    """Return a time-ordered id."""
    return AlertId("alt_" + uuid_utils.uuid7().hex)


def new_recovery_id() -> RecoveryId:
    """Return a time-ordered id."""
    return RecoveryId("rec_" + uuid_utils.uuid7().hex)


def new_session_id() -> SessionId:
    """Return the public id of a session: time-ordered, and no part of its secret."""
    return SessionId("ses_" + uuid_utils.uuid7().hex)


def change_id(row: int) -> ChangeId:
    """Return the public id of a row of the audit log, whose number the database assigns."""
    return ChangeId(f"chg_{row}")


def new_callback_id() -> CallbackId:
    """Return sixteen random hex digits (64 bits): fixed in length, so that a delivery id can be
    split again.
    """
    return CallbackId(secrets.token_hex(_CALLBACK_DIGITS // 2))


def delivery_id(event_id: EventId, callback_id: CallbackId) -> DeliveryId:
    """Return `dlv_<callback>_<event>`; `split_delivery_id` is the inverse."""
    return DeliveryId(f"{_DELIVERY_PREFIX}{callback_id}_{event_id}")


def split_delivery_id(text: str) -> tuple[EventId, CallbackId] | None:
    """Return the pair that a delivery id spells, or None for a text that is no delivery id."""
    callback, separator, event = text.removeprefix(_DELIVERY_PREFIX).partition("_")
    if not text.startswith(_DELIVERY_PREFIX) or not separator:
        return None
    if not _CALLBACK_ID.fullmatch(callback) or not EVENT_ID.fullmatch(event):
        return None
    return EventId(event), CallbackId(callback)
