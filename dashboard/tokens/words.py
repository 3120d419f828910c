"""What a token is, in sentences. Pure."""

from collections import Counter
from collections.abc import Iterable
from typing import Protocol
from zoneinfo import ZoneInfo

from dashboard.languages import Language
from dashboard.tokens.days import Edge
from schemas.times import UnixMs
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import CallbackState, Token

_DISABLED, _FAILING = CallbackState.DISABLED, CallbackState.FAILING
_HEALTHY, _OFF = CallbackState.HEALTHY, CallbackState.OFF


class Reader(Protocol):
    """Who reads them."""

    @property
    def language(self) -> Language: ...
    @property
    def zone(self) -> ZoneInfo: ...
    @property
    def now(self) -> UnixMs: ...
    def say(self, text: str, **values: object) -> str: ...


class Words:
    """The sentences, for one reader."""

    def __init__(self, reader: Reader, zone: ZoneInfo | None = None):
        """`zone`: that of the days; None: the reader's."""
        self._reader, self._zone = reader, zone or reader.zone

    def starts(self, token: Token) -> str:
        """Return when the token becomes valid, or has become."""
        say, zone = self._reader.say, self._zone
        at, is_past = token.activates_at, token.activates_at <= self._reader.now
        if not Edge.START.is_met(at, zone):
            text = self._reader.language.moment(at, zone)
            if is_past:
                return say("Valid since %(moment)s, %(zone)s", moment=text, zone=zone.key)
            return say("Valid from %(moment)s, %(zone)s", moment=text, zone=zone.key)
        day = self._reader.language.day(at, zone)
        if is_past:
            return say("Valid since the start of %(day)s, %(zone)s", day=day, zone=zone.key)
        return say("Valid from the start of %(day)s, %(zone)s", day=day, zone=zone.key)

    def ends(self, token: Token) -> str:
        """Return when the token stops being valid, or has stopped."""
        say, zone = self._reader.say, self._zone
        if token.expires_at is None:
            return say("Never expires")
        at, is_past = token.expires_at, token.expires_at <= self._reader.now
        if not Edge.END.is_met(at, zone):
            text = self._reader.language.moment(at, zone)
            if is_past:
                return say("Expired at %(moment)s, %(zone)s", moment=text, zone=zone.key)
            return say("Valid until %(moment)s, %(zone)s", moment=text, zone=zone.key)
        day = self._reader.language.day(UnixMs(at - 1), zone)
        moment = self._reader.language.minute(at, zone)
        if is_past:
            return say(
                "Expired at the end of %(day)s, %(zone)s: %(moment)s",
                day=day,
                zone=zone.key,
                moment=moment,
            )
        return say(
            "Valid until the end of %(day)s, %(zone)s: %(moment)s",
            day=day,
            zone=zone.key,
            moment=moment,
        )

    def last_day(self, token: Token) -> str:
        """Return the last day of validity, for a column."""
        if token.expires_at is None:
            return self._reader.say("never")
        return self._reader.language.day(UnixMs(token.expires_at - 1), self._zone)

    def permissions(self, permissions: Iterable[Permission]) -> str:
        """Return the permissions: by name while they are few."""
        held = [permission for permission in Permission if permission in set(permissions)]
        if not held:
            return self._reader.say("none")
        if len(held) <= 2:
            return ", ".join(self._reader.say(permission.label) for permission in held)
        return self._reader.language.plural(
            "%(number)s permission", "%(number)s permissions", len(held)
        )

    def sees(self, channels: frozenset[str] | None) -> str:
        """Return which channels are seen."""
        if channels is None:
            return self._reader.say("All channels, also those to come")
        if not channels:
            return self._reader.say("No channel: it receives no webhooks and reads no data")
        return self._reader.language.plural("One channel", "%(number)s channels", len(channels))

    def health(self, token: Token) -> list[tuple[CallbackState, str]]:
        """Return how many callbacks are in each state, what needs attention first."""
        plural = self._reader.language.plural
        counts = Counter(callback.state for callback in token.callbacks.values())
        disabled, failing, healthy, off = (
            counts[state] for state in (_DISABLED, _FAILING, _HEALTHY, _OFF)
        )
        texts = [
            (_DISABLED, plural("%(number)s disabled", "%(number)s disabled", disabled)),
            (_FAILING, plural("%(number)s failing", "%(number)s failing", failing)),
            (_HEALTHY, plural("%(number)s healthy", "%(number)s healthy", healthy)),
            (_OFF, plural("%(number)s switched off", "%(number)s switched off", off)),
        ]
        return [(state, text) for state, text in texts if counts[state]]
