"""The form of a new token: as it was typed, as a link fills it, and like another token. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from dashboard.tokens.access import ALL, SOME, Seen, known_permissions
from dashboard.tokens.days import read_day, read_zone
from dashboard.tokens.details import Details, body
from dashboard.tokens.faults import Faults, Say, url_field
from dashboard.tokens.presets import preset
from dashboard.tokens.sent import Sent
from schemas.events.types import EventType
from schemas.texts import shortened
from schemas.times import UnixMs
from schemas.tokens.fields import TokenFields
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Token

MAX_UNKNOWN = 10
"""Parts of a link that are named because nothing could be done with them. More: a crafted link
fills the page. Fewer: a person with many typos sees only some.
"""

_ADDRESS_ALONE = frozenset({"preset", "like"})


@dataclass(frozen=True, slots=True)
class NewToken:
    """What is in the fields."""

    details: Details
    permissions: frozenset[Permission] = frozenset()
    seen: Seen = field(default_factory=Seen)
    urls: Mapping[EventType, str] = field(default_factory=dict)

    @classmethod
    def typed(cls, form: Sent) -> "NewToken":
        """Return what was sent."""
        urls = {kind: form.get(url_field(kind), "").strip() for kind in EventType}
        return cls(
            Details.typed(form),
            known_permissions(form.getlist("permission")),
            Seen.typed(form),
            {kind: url for kind, url in urls.items() if url},
        )

    def body(self, say: Say, now: UnixMs) -> tuple[dict[str, object], Faults]:
        """Return the body of the request that creates the token, and what is wrong by field."""
        days, faults = self.details.read(say)
        if self.seen.sees not in {ALL, SOME}:
            faults["sees"] = say("Choose what it may see: all channels, or only some.")
        channels = self.seen.channels()
        sent: dict[str, object] = {
            "name": self.details.name,
            "permissions": sorted(self.permissions),
            "visibility": {"channels": None if channels is None else sorted(channels)},
            "callbacks": {kind.value: {"url": url} for kind, url in self.urls.items()},
        }
        return sent | body(self.details, days, None, days.zone, now), faults


def like(token: Token, zone: ZoneInfo, name: str) -> NewToken:
    """Return a form like a token. Secrets are not copied: no token, no signing secret, no values of
    headers, no queries of addresses.
    """
    details = replace(Details.of(TokenFields.of(token), zone), name=name, activates_on="")
    urls = {kind: _without_query(callback.url) for kind, callback in token.callbacks.items()}
    return NewToken(details, token.permissions, Seen.of(token.channels), urls)


def has_secrets(token: Token) -> bool:
    """Return whether something of the callbacks is not copied: values of headers, or queries."""
    return any(
        callback.headers or callback.url != _without_query(callback.url)
        for callback in token.callbacks.values()
    )


class Link:
    """A link that fills the form: `?name=…&permission=…&channel=…&callback=TYPE=URL&expires=DAY`,
    with the words of the command line.

    unknown: the parts that mean nothing, as text; at most `MAX_UNKNOWN`.
    """

    def __init__(self, sent: Sent, names: Iterable[str], zone: ZoneInfo, say: Say):
        self._sent = sent
        self.unknown: list[str] = []
        given = [name for name in names if name not in _ADDRESS_ALONE]
        self.is_given = bool(given)
        for name in given:
            if name not in _FILLED:
                self._miss(name)
        chosen = preset(sent.get("preset", ""), say)
        self.preset = chosen
        seen = Seen(chosen.sees) if chosen else Seen()
        permissions = self._permissions()
        self.form = NewToken(
            Details(
                sent.get("name", ""),
                sent.get("contact", ""),
                self._day("activates"),
                self._day("expires"),
                self._zone(zone),
            ),
            permissions | (chosen.permissions if chosen else frozenset()),
            self._seen() or seen,
            self._urls(),
        )

    def _permissions(self) -> frozenset[Permission]:
        named = self._sent.getlist("permission")
        known = known_permissions(named)
        for name in named:
            if name not in known:
                self._miss(f"permission={name}")
        return known

    def _seen(self) -> Seen | None:
        channels = frozenset(self._sent.getlist("channel")) - {""}
        return Seen(SOME, channels) if channels else None

    def _urls(self) -> dict[EventType, str]:
        urls = {}
        for text in self._sent.getlist("callback"):
            kind, _, url = text.partition("=")
            if kind in set(EventType):
                urls[EventType(kind)] = url
            else:
                self._miss(f"callback={text}")
        return urls

    def _day(self, name: str) -> str:
        text = self._sent.get(name, "")
        try:
            return read_day(text).isoformat() if text else ""
        except ValueError:
            self._miss(f"{name}={text}")
            return ""

    def _zone(self, zone: ZoneInfo) -> str:
        name = self._sent.get("zone", "") or zone.key
        try:
            return read_zone(name).key
        except ValueError:
            self._miss(f"zone={name}")
            return zone.key

    def _miss(self, text: str) -> None:
        if len(self.unknown) < MAX_UNKNOWN:
            self.unknown.append(shortened(text, 100))


_FILLED = frozenset(
    {"name", "contact", "activates", "expires", "zone", "permission", "channel", "callback"}
)


def _without_query(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(query="", fragment="").geturl() if parts.query else url
