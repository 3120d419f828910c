"""The filter of a token's request log, from an address to what the store takes, with everything as
it was typed for the form. Judged by the model of `GET /v1/tokens/{id}/requests`.
"""

from dataclasses import dataclass, field

from dashboard.filters.periods import Period, asked_period
from dashboard.visit import Visit
from schemas.errors import Invalid
from web.models.parsing import from_query
from web.models.request_log import RequestsQuery

ROWS = 50
"""Rows of a page. More: longer pages. Fewer: more pages."""

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""The methods to choose from."""

_PLAIN = ("status", "method", "path", "allowed", "cursor")
FIELDS = (*_PLAIN[:-1], "within", "since", "until", "zone")
"""The parameters of the filter, without that of the page."""


@dataclass(frozen=True, slots=True)
class AskedRequests:
    """A filter as it was asked for."""

    typed: dict[str, str]
    """The filter's parameters as they are in the address; those that are empty are left out."""
    period: Period
    query: RequestsQuery = field(default_factory=RequestsQuery)
    """The filter; that without parameters when something is wrong."""
    faults: dict[str, str] = field(default_factory=dict)
    """What is wrong, by field."""


def asked_requests(visit: Visit) -> AskedRequests:
    """Read the filter in the address of a visit."""
    sent = {
        name: text for name in (*FIELDS, "cursor") if (text := visit.query.get(name, "").strip())
    }
    period = asked_period(visit.query, visit.zone)
    typed = {name: text for name, text in sent.items() if name != "cursor"}
    if not (period.since or period.until):
        typed.pop("zone", None)
    plain = {name: text for name, text in sent.items() if name in _PLAIN}
    parameters = period.parameters(visit.now) | plain | {"limit": str(ROWS)}
    try:
        query = from_query(RequestsQuery, [(name, [text]) for name, text in parameters.items()])
    except Invalid as error:
        wrong = {fault.pointer.split("/")[1] for fault in error.faults}
        return AskedRequests(typed, period, faults=_faults(visit, wrong))
    return AskedRequests(typed, period, query)


def _faults(visit: Visit, wrong: set[str]) -> dict[str, str]:
    say = visit.say
    texts = {
        "status": say("A status is a whole number from 100 to 599."),
        "since": say("This is no date with a time."),
        "until": say("This is no date with a time, or it is before the beginning."),
    }
    return {name: texts.get(name, say("This cannot be read.")) for name in wrong}
