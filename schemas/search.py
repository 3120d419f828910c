"""What a search finds. The store searches, pages show it."""

from enum import StrEnum

import msgspec

from schemas.times import UnixMs


class HitKind(StrEnum):
    """What was found."""

    EVENT = "event"
    DELIVERY = "delivery"
    ATTEMPT = "attempt"
    TOKEN = "token"
    CALLBACK = "callback"
    REQUEST = "request"


class Hit(msgspec.Struct, frozen=True):
    """One thing that was found."""

    kind: HitKind
    """What it is."""

    id: str
    """Its id; of a callback its event type."""

    label: str
    """What people know it by: an event's type, a token's name, a URL's host."""

    within: str | None = None
    """The delivery of an attempt; the token of a callback or of a request."""


class Found(msgspec.Struct, frozen=True):
    """The result of a search."""

    hits: list[Hit]
    """What was found, the surest first."""

    looked_until: UnixMs | None = None
    """Events are searched for a conversation or a message only as far back as this; None: all were
    searched, or none had to be.
    """
