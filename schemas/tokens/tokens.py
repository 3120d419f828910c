"""API access tokens and their callbacks, as everybody but the store sees them.

A token's state is derived from its dates and switches, so no background job has to move it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.deliveries.callback_health import believed
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission


class TokenState(StrEnum):
    SCHEDULED = "scheduled"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    REVOKED = "revoked"


class CallbackState(StrEnum):
    """`failing`: its breaker is open, only probes are sent. `disabled`: by Ringback. `off`: by a
    person.
    """

    HEALTHY = "healthy"
    FAILING = "failing"
    DISABLED = "disabled"
    OFF = "off"


class OnResume(StrEnum):
    """What becomes of held deliveries when their callback, or its suspended token, comes back."""

    RELEASE = "release"
    KEEP = "keep"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class CallbackHealth:
    """What is stored of how a callback fares; all but the last two None while it is healthy.

    `failing_since`: since when nothing succeeds; `probe_at`: when its next probe may be made, after `probes` that failed.
    `generation` counts changes and returns: what an attempt of an older one found out says nothing about this one.
    `throttled_until`: nothing automatic is sent before, as its receiver asked; `throttled_since`: since when it has taken nothing but asked
    for that. Times that have passed may stand there for ever.
    """

    generation: int = 0
    failing_since: UnixMs | None = None
    probe_at: UnixMs | None = None
    probes: int = 0
    disabled_at: UnixMs | None = None
    disabled_reason: str | None = None
    throttled_until: UnixMs | None = None
    throttled_since: UnixMs | None = None

    def waits_until(self, now: UnixMs) -> UnixMs | None:
        """Until when it is left alone, as its receiver asked; None when it is not."""
        until = believed(self.throttled_until, now)
        return until if until is not None and until > now else None


@dataclass(frozen=True, slots=True)
class DatedSecret:
    """A secret and when it stops to count: None for the current one, set for one that is being
    rotated out.
    """

    value: bytes = field(repr=False)
    until: UnixMs | None = None

    def lives(self, now: UnixMs) -> bool:
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class Callback:
    """One URL of one token for one event type. Header values are secrets: sent to the receiver,
    never shown.

    Open deliveries whose age counts (`queued_at`) from before `held_before` are still held: it came
    back then, and `on_resume` says what becomes of them. Releasing one restarts its age, and so
    frees it.
    """

    id: CallbackId
    token_id: TokenId
    type: EventType
    url: str
    enabled: bool
    headers: Mapping[str, str] = field(repr=False)
    health: CallbackHealth = CallbackHealth()
    on_resume: OnResume = OnResume.RELEASE
    held_before: UnixMs | None = None

    @property
    def state(self) -> CallbackState:
        if not self.enabled:
            return CallbackState.OFF
        if self.health.disabled_at is not None:
            return CallbackState.DISABLED
        return CallbackState.HEALTHY if self.health.failing_since is None else CallbackState.FAILING


@dataclass(frozen=True, slots=True)
class Token:
    """`channels` None means all, empty means none. Secret lists run from oldest to newest."""

    id: TokenId
    name: str
    hint: str
    created_at: UnixMs
    activates_at: UnixMs
    expires_at: UnixMs | None
    revoked_at: UnixMs | None
    enabled: bool
    permissions: frozenset[Permission]
    channels: frozenset[str] | None
    callbacks: Mapping[EventType, Callback]
    last_used_at: UnixMs | None
    hashes: tuple[DatedSecret, ...] = field(repr=False)
    signing_keys: tuple[DatedSecret, ...] = field(repr=False)

    def state(self, now: UnixMs) -> TokenState:
        """Activation is inclusive, expiration exclusive."""
        if self.revoked_at is not None:
            return TokenState.REVOKED
        if self.expires_at is not None and now >= self.expires_at:
            return TokenState.EXPIRED
        if not self.enabled:
            return TokenState.SUSPENDED
        return TokenState.SCHEDULED if now < self.activates_at else TokenState.ACTIVE

    def sees(self, channel_id: str) -> bool:
        return self.channels is None or channel_id in self.channels

    @property
    def is_readable(self) -> bool:
        """Whether its secrets could be opened. One that is not has no signing keys, and no headers
        in its callbacks: nothing is sent for it.
        """
        return bool(self.signing_keys)

    def live_signing_keys(self, now: UnixMs) -> list[bytes]:
        """During a rotation more than one: each signs."""
        return [key.value for key in self.signing_keys if key.lives(now)]
