"""The filter of deliveries, from an address to what the store takes, with everything as it was typed
for the form. Judged by the model of `GET /v1/deliveries`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from dashboard.filters.periods import PRESETS, Period, asked_period
from dashboard.visit import Visit
from schemas.deliveries.deliveries import DeliveryState, Outcome
from schemas.errors import Invalid
from schemas.events.types import EventType
from schemas.folding import folded
from schemas.ids import EventId, TokenId
from schemas.listings import DeliveryFilter
from store.engine.database import Connection
from store.tokens.names import named, some_names
from web.models.parsing import from_query
from web.models.queries import DeliveriesQuery

ROWS = 50
"""Rows of a page. More: longer pages. Fewer: more pages."""

OFFERED_TOKENS = 100
"""Names that the field of the token offers. More: larger pages."""

_CHOICES = 8
"""Tokens that are offered when a text fits several."""

_PLAIN = ("type", "state", "status_code", "error", "event", "cursor")
FIELDS = ("token", *_PLAIN[:-1], "within", "since", "until", "zone")
"""The parameters of the filter, without that of the page. Suppliers have no `token`."""


CHOICES = {
    "presets": PRESETS,
    "types": tuple(EventType),
    "states": tuple(DeliveryState),
    "outcomes": tuple(Outcome),
}
"""What the form offers, for its template."""


@dataclass(frozen=True, slots=True)
class AskedDeliveries:
    """A filter as it was asked for."""

    typed: dict[str, str]
    """The filter's parameters as they are in the address; those that are empty are left out."""
    period: Period
    token: str = ""
    """What the field of the token shows."""
    token_choices: Sequence[tuple[TokenId, str]] = ()
    """Tokens that fit, when they are several."""
    faults: dict[str, str] = field(default_factory=dict)
    """What is wrong, by field."""
    offered: Sequence[str] = ()
    """Names of tokens to choose from."""
    query: DeliveriesQuery = field(default_factory=DeliveriesQuery)
    """The filter; that without parameters when something is wrong."""
    token_id: TokenId | None = None

    @property
    def is_usable(self) -> bool:
        """Whether the filter says what to list."""
        return not self.faults and not self.token_choices

    @property
    def criteria(self) -> DeliveryFilter:
        """The filter as the store takes it."""
        event = self.query.event
        return replace(
            self.query.to_filter(self.token_id), event=None if event is None else EventId(event)
        )


def asked_deliveries(visit: Visit, connection: Connection) -> AskedDeliveries:
    """Read the filter in the address of a visit. At most three queries; none for a supplier, who
    chooses no token.
    """
    fields = FIELDS if visit.supplier is None else FIELDS[1:]
    typed = {name: text for name in fields if (text := visit.query.get(name, "").strip())}
    period = asked_period(visit.query, visit.zone)
    if not (period.since or period.until):
        typed.pop("zone", None)
    asked = AskedDeliveries(typed, period)
    if visit.supplier is None:
        asked = replace(asked, offered=some_names(connection, OFFERED_TOKENS))
        asked = _with_token(visit, connection, asked)
    parameters = period.parameters(visit.now) | {
        name: text for name in _PLAIN if (text := visit.query.get(name, "").strip())
    }
    try:
        query = from_query(
            DeliveriesQuery,
            [(name, [text]) for name, text in {**parameters, "limit": str(ROWS)}.items()],
        )
    except Invalid as error:
        wrong = {fault.pointer.split("/")[1] for fault in error.faults}
        return replace(asked, faults=asked.faults | _faults(visit, wrong))
    return replace(asked, query=query)


def _with_token(visit: Visit, connection: Connection, asked: AskedDeliveries) -> AskedDeliveries:
    """Find the token by its id, its name or a part of that."""
    text = asked.typed.get("token")
    if text is None:
        return asked
    found = named(connection, text, _CHOICES)
    if found and found[0][0] == text:
        namesakes = named(connection, found[0][1], 2)
        is_alone = namesakes[0][0] == text and not _are_alike(namesakes)
        return replace(asked, token=found[0][1] if is_alone else text, token_id=found[0][0])
    if not found:
        fault = visit.say("There is no token with this name or id.")
        return replace(asked, token=text, faults={"token": fault})
    is_exact = folded(found[0][1]) == folded(text) and not _are_alike(found[:2])
    if len(found) == 1 or is_exact:
        return replace(asked, token=found[0][1], token_id=found[0][0])
    return replace(asked, token=text, token_choices=found)


def _are_alike(found: Sequence[tuple[TokenId, str]]) -> bool:
    """Return whether two tokens have the same name."""
    return len(found) > 1 and folded(found[0][1]) == folded(found[1][1])


def _faults(visit: Visit, wrong: set[str]) -> dict[str, str]:
    say = visit.say
    texts = {
        "type": say("There is no such type of event."),
        "state": say("There is no such state."),
        "status_code": say("A status is a whole number from 100 to 599."),
        "error": say("There is no such result."),
        "event": say("This is no id of an event."),
        "since": say("This is no date with a time."),
        "until": say("This is no date with a time, or it is before the beginning."),
    }
    return {name: texts.get(name, say("This cannot be read.")) for name in wrong}
