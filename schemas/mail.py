"""Mail: what it is about, and what waits to be sent. Pure; called by the store and the mailer."""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from schemas.events.types import EventType
from schemas.ids import TokenId
from schemas.times import UnixMs


class NoticeKind(StrEnum):
    """What a notice says."""

    FAILING = "failing"
    """A callback has failed for an hour."""

    DISABLING = "disabling"
    """A callback will be disabled within a day."""

    DISABLED = "disabled"
    """A callback was disabled."""

    RECOVERED = "recovered"
    """A callback that was written about works again."""

    GIVEN_UP = "given_up"
    """Deliveries of a callback were given up within a day."""

    EXPIRING = "expiring"
    """A token expires soon."""


class Notice(NamedTuple):
    """One thing to write about."""

    kind: NoticeKind
    key: str
    """What it is about, and since when: it is written about once."""
    subject_id: str
    """The callback, or the token."""
    token_id: TokenId
    token_name: str
    contact: str | None
    """Who is written to, beyond the administrators."""
    since: UnixMs
    """Since when it is so; of EXPIRING the end of the token."""
    type: EventType | None = None
    """Which callback."""
    host: str | None = None
    """The host of the callback's URL: its path may be a secret."""
    until: UnixMs | None = None
    """When the callback is to be disabled."""
    reason: str | None = None


class Mail(msgspec.Struct, frozen=True):
    """A mail that a process has leased in order to send it."""

    id: int
    recipient: str
    subject: str
    body: str
    created_at: UnixMs
    failures: int
    """Attempts that have failed so far."""
    leased_until: UnixMs
    """The end of the lease, by the store's clock."""
