"""API access tokens and their callbacks, as all packages but the store see them.

A token's state is derived from its dates and switches, so no background job has to change it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.deliveries.callback_health import (
    CallbackState as CallbackState,  # noqa: PLC0414 - re-exported
)
from schemas.deliveries.callback_health import plausible_pause_end
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission


class TokenState(StrEnum):
    """Whether a token is valid, and if not, why."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    REVOKED = "revoked"


class OnResume(StrEnum):
    """What happens to held deliveries when their callback, or its suspended token, is enabled."""

    RELEASE = "release"
    """Held deliveries are sent."""

    KEEP = "keep"
    """Held deliveries stay held until a recovery."""

    DISCARD = "discard"
    """Held deliveries are cancelled."""


@dataclass(frozen=True, slots=True)
class CallbackHealth:
    """The stored health of a callback."""

    generation: int = 0
    """Counts the changes and re-enablings of the callback: a report of an attempt in an older
    generation is ignored.
    """

    failing_since: UnixMs | None = None
    """The time since which no attempt has succeeded; None while the callback is healthy."""

    probe_at: UnixMs | None = None
    """When the next probe may be made; None while the callback is healthy."""

    probes: int = 0
    """Probes that have failed since the breaker opened."""

    disabled_at: UnixMs | None = None
    """When Ringback disabled the callback; None: it did not."""

    disabled_reason: str | None = None
    """Why Ringback disabled the callback, as it is shown."""

    throttled_until: UnixMs | None = None
    """The end of the pause that the receiver asked for: nothing automatic is sent before. May be in
    the past.
    """

    throttled_since: UnixMs | None = None
    """The time since which the receiver has accepted nothing and only asked for pauses. May stay
    set after that.
    """

    def paused_until(self, now: UnixMs) -> UnixMs | None:
        """Return the end of the pause that the receiver asked for; None when there is none now."""
        until = plausible_pause_end(self.throttled_until, now)
        return until if until is not None and until > now else None


@dataclass(frozen=True, slots=True)
class DatedSecret:
    """A secret with its end of validity."""

    value: bytes = field(repr=False)
    """The secret, or its hash."""

    until: UnixMs | None = None
    """When the secret stops being valid; None: it is the current one."""

    def is_valid(self, now: UnixMs) -> bool:
        """Return whether the secret is valid at `now`."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class Callback:
    """One URL of one token for one event type."""

    id: CallbackId
    """The callback's id."""

    token_id: TokenId
    """The token that the callback belongs to."""

    type: EventType
    """The type of the events that are sent."""

    url: str
    """The receiver's address."""

    enabled: bool
    """False when a person switched the callback off."""

    headers: Mapping[str, str] = field(repr=False)
    """Headers of the receiver. Their values are secrets: sent, never shown."""

    health: CallbackHealth = CallbackHealth()
    """What attempts said about the callback."""

    on_resume: OnResume = OnResume.RELEASE
    """What happens to held deliveries when the callback is enabled again."""

    held_before: UnixMs | None = None
    """When the callback was last enabled. Open deliveries with an earlier `queued_at` are still
    held. Releasing a delivery restarts its age, and so ends the holding.
    """

    @property
    def state(self) -> CallbackState:
        """Whether the callback is called, and if not, why."""
        if not self.enabled:
            return CallbackState.OFF
        if self.health.disabled_at is not None:
            return CallbackState.DISABLED
        return CallbackState.HEALTHY if self.health.failing_since is None else CallbackState.FAILING


@dataclass(frozen=True, slots=True)
class Token:
    """An API access token with its callbacks."""

    id: TokenId
    """The public id."""

    name: str
    """The name that a person gave the token."""

    hint: str
    """The beginning and the end of the secret, to tell tokens apart."""

    created_at: UnixMs
    """When the token was created."""

    activates_at: UnixMs
    """When the token becomes valid, inclusive."""

    expires_at: UnixMs | None
    """When the token stops being valid, exclusive; None: never."""

    revoked_at: UnixMs | None
    """When the token was revoked; None: it was not."""

    enabled: bool
    """False while the token is suspended."""

    permissions: frozenset[Permission]
    """What the token may do."""

    channels: frozenset[str] | None
    """The channels whose events the token sees; None: all, empty: none."""

    callbacks: Mapping[EventType, Callback]
    """At most one callback for each event type."""

    last_used_at: UnixMs | None
    """When the token last authenticated a request, to the precision of its storage; None: never."""

    hashes: tuple[DatedSecret, ...] = field(repr=False)
    """Hashes of the token's secrets, from oldest to newest."""

    signing_keys: tuple[DatedSecret, ...] = field(repr=False)
    """Keys that sign webhooks, from oldest to newest; empty when they cannot be decrypted."""

    contact: str | None = None
    """The e-mail address for what concerns the token; None: there is none."""

    links_ended: int = 0
    """How often all links to the supplier's page were ended."""

    def state(self, now: UnixMs) -> TokenState:
        """Return whether the token is valid at `now`, and if not, why."""
        if self.revoked_at is not None:
            return TokenState.REVOKED
        if self.expires_at is not None and now >= self.expires_at:
            return TokenState.EXPIRED
        if not self.enabled:
            return TokenState.SUSPENDED
        return TokenState.SCHEDULED if now < self.activates_at else TokenState.ACTIVE

    def sees(self, channel_id: str) -> bool:
        """Return whether the token may see events of a channel."""
        return self.channels is None or channel_id in self.channels

    @property
    def is_readable(self) -> bool:
        """Whether the token's secrets could be decrypted. Nothing is sent for an unreadable token:
        it has no signing keys, and its callbacks have no headers.
        """
        return bool(self.signing_keys)

    def live_signing_keys(self, now: UnixMs) -> list[bytes]:
        """Return the valid signing keys: during a rotation more than one, and each signs."""
        return [key.value for key in self.signing_keys if key.is_valid(now)]
