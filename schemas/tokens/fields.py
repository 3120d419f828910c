"""What a person may set of a token and of a callback, and the rules for it. Called by the API and
the command line.

The rules for a callback's URL and headers are the target policy's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from schemas.errors import Fault
from schemas.texts import harmful, is_blank, named
from schemas.times import UnixMs, to_rfc3339
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import OnResume, Token

MAX_NAME = 200
MAX_CHANNELS = 10_000
MAX_CHANNEL_ID = 256  # as long as an id in an event may be


@dataclass(frozen=True, slots=True)
class TokenFields:
    """`channels` None means all, empty means none. Times are unix milliseconds."""

    name: str
    activates_at: UnixMs
    expires_at: UnixMs | None = None
    enabled: bool = True
    permissions: frozenset[Permission] = frozenset()
    channels: frozenset[str] | None = None

    @classmethod
    def of(cls, token: Token) -> "TokenFields":
        """As they are now."""
        return cls(
            token.name,
            token.activates_at,
            token.expires_at,
            token.enabled,
            token.permissions,
            token.channels,
        )

    def faults(self) -> list[Fault]:
        """What breaks the rules, by pointer into the API's spelling; empty when all is well."""
        return [*self._name_faults(), *self._date_faults(), *self._channel_faults()]

    def _name_faults(self) -> Iterator[Fault]:
        if is_blank(self.name) or len(self.name) > MAX_NAME:
            yield Fault(
                f"a name has 1 to {MAX_NAME} characters, and not only such as cannot be seen",
                "/name",
            )
        elif found := harmful(self.name):
            yield Fault(f"a name cannot hold {named(found)}: leave it out", "/name")

    def _date_faults(self) -> Iterator[Fault]:
        if self.expires_at is not None and self.expires_at <= self.activates_at:
            expires, activates = to_rfc3339(self.expires_at), to_rfc3339(self.activates_at)
            told = f"{expires}, when it is to expire, is not after {activates}, when it activates: the token would never be valid."
            yield Fault(f"{told} Give a later time, or none: then it never expires", "/expires_at")

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


@dataclass(frozen=True, slots=True)
class CallbackFields:
    """None leaves what is stored as it is; of a new callback: on, without headers of its own, and
    releasing what was held.
    """

    url: str
    enabled: bool | None = None
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    held: OnResume | None = None
