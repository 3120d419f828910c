"""The fields of a token and of a callback that a person may set, and their rules. Called by the API
and the command line.

The rules for a callback's URL and headers are in `schemas.tokens.target_policy`.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from schemas.emails import email_fault
from schemas.errors import Fault
from schemas.texts import name_fault
from schemas.times import LATEST, UnixMs, format_duration, to_rfc3339
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import OnResume, Token

MAX_NAME = 200
"""Characters of a token's name. Larger: lists are harder to read. Smaller: names say less."""

MAX_CHANNELS = 10_000
"""Channels of a token. Larger: processes need more memory. Smaller: more tokens are needed."""

MAX_CHANNEL_ID = 256
"""Characters of a channel's id, as in events."""


@dataclass(frozen=True, slots=True)
class TokenFields:
    """The fields of a token that a person may set."""

    name: str
    """The name, for people."""

    activates_at: UnixMs
    """When the token becomes valid."""

    expires_at: UnixMs | None = None
    """When the token stops being valid; None: never."""

    enabled: bool = True
    """False suspends the token."""

    permissions: frozenset[Permission] = frozenset()
    """What the token may do."""

    channels: frozenset[str] | None = None
    """The channels whose events the token sees; None: all, empty: none."""

    contact: str | None = None
    """The e-mail address for what concerns the token; None: there is none."""

    @classmethod
    def of(cls, token: Token) -> "TokenFields":
        """Return the present fields of a token."""
        return cls(
            token.name,
            token.activates_at,
            token.expires_at,
            token.enabled,
            token.permissions,
            token.channels,
            token.contact,
        )

    def faults(self) -> list[Fault]:
        """Return what is invalid, with pointers into the API's body; empty when all is valid."""
        return [
            *self._name_faults(),
            *self._date_faults(),
            *self._channel_faults(),
            *self._contact_faults(),
        ]

    def life_fault(self, max_life: dt.timedelta) -> Fault | None:
        """Return what is wrong when a token may live at most so long, and so has to expire."""
        latest = self.latest_end(max_life)
        if self.expires_at is not None and self.expires_at <= latest:
            return None
        return Fault(
            f"a token may be valid for at most {format_duration(max_life)} here"
            " (RINGBACK_TOKEN_MAX_LIFE), so it needs an expiration date: not later than"
            f" {to_rfc3339(latest)}, by its activation",
            "/expires_at",
        )

    def latest_end(self, max_life: dt.timedelta) -> UnixMs:
        """Return the latest expiration of a token that may live at most so long."""
        return UnixMs(min(LATEST, self.activates_at + max_life // dt.timedelta(milliseconds=1)))

    def _name_faults(self) -> Iterator[Fault]:
        if fault := name_fault(self.name, MAX_NAME):
            yield Fault(fault, "/name")

    def _date_faults(self) -> Iterator[Fault]:
        if self.expires_at is not None and self.expires_at <= self.activates_at:
            expires, activates = to_rfc3339(self.expires_at), to_rfc3339(self.activates_at)
            yield Fault(
                f"the token would never be valid: it expires at {expires}, which is not after its"
                f" activation at {activates}. Give a later time, or none: then it never expires",
                "/expires_at",
            )

    def _channel_faults(self) -> Iterator[Fault]:
        channels = self.channels or frozenset()
        if len(channels) > MAX_CHANNELS:
            yield Fault(f"at most {MAX_CHANNELS} channels; null means all", "/visibility/channels")
        if not all(
            0 < len(channel) <= MAX_CHANNEL_ID and "\0" not in channel for channel in channels
        ):
            yield Fault(
                f"a channel id has 1 to {MAX_CHANNEL_ID} characters, none of them U+0000",
                "/visibility/channels",
            )

    def _contact_faults(self) -> Iterator[Fault]:
        if self.contact is not None and (fault := email_fault(self.contact)):
            yield Fault(fault, "/contact")


@dataclass(frozen=True, slots=True)
class CallbackFields:
    """The fields of a callback that a person may set. None keeps the stored value."""

    url: str
    """The receiver's address."""

    enabled: bool | None = None
    """False switches the callback off. A new callback is on by default."""

    headers: Mapping[str, str] | None = field(default=None, repr=False)
    """Headers of the receiver. A new callback has none by default."""

    held: OnResume | None = None
    """What happens to held deliveries. A new callback releases them by default."""
