"""One box that takes any id, a token's name or a callback's host, and lands there."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, urlencode

from flask import Response

from dashboard import labels
from dashboard.pages import Page, shown
from dashboard.visit import Visit
from schemas.events.types import EventType
from schemas.ids import TokenId, made_at
from schemas.search import Hit, HitKind
from schemas.times import UnixMs, to_rfc3339
from store.search import LONGEST, find
from store.tokens.names import names_of


@dataclass(frozen=True, slots=True)
class HitRow:
    """One hit, in the person's language."""

    kind: str
    label: str
    note: str
    """What more is known of it."""
    address: str


def search(visit: Visit) -> Response:
    """Find. A single hit is opened at once."""
    wanted = visit.query.get("q", "").strip()
    if not wanted:
        return visit.render("search.html", wanted="", rows=[], looked_until=None, too_long=False)
    with visit.parts.database.read() as connection:
        found = find(connection, wanted, in_events=visit.may_see_payloads)
        owners = [hit.within for hit in found.hits if hit.kind is HitKind.CALLBACK]
        names = names_of(connection, [TokenId(owner) for owner in owners if owner])
    rows = [_row(visit, hit, names) for hit in found.hits]
    if len(rows) == 1:
        return visit.go(rows[0].address)
    return visit.render(
        "search.html",
        HTTPStatus.OK if rows else HTTPStatus.NOT_FOUND,
        wanted=wanted,
        rows=rows,
        looked_until=found.looked_until,
        too_long=len(wanted) > LONGEST,
    )


def _row(visit: Visit, hit: Hit, names: Mapping[TokenId, str]) -> HitRow:
    say = visit.say
    kind = {
        HitKind.EVENT: say("Event"),
        HitKind.DELIVERY: say("Delivery"),
        HitKind.ATTEMPT: say("Attempt"),
        HitKind.TOKEN: say("Token"),
        HitKind.CALLBACK: say("Callback"),
        HitKind.REQUEST: say("Request"),
    }[hit.kind]
    label, note = _words(visit, hit, names)
    return HitRow(kind, label, note, _address(hit))


def _words(visit: Visit, hit: Hit, names: Mapping[TokenId, str]) -> tuple[str, str]:
    """Return what a hit is called, and what more is known of it."""
    if hit.kind is HitKind.CALLBACK:
        kind = labels.event_type(visit, EventType(hit.id))
        return hit.label, f"{kind} · {names.get(TokenId(hit.within or ''), '')}"
    if hit.kind is HitKind.EVENT:
        kind, _, part = hit.label.partition(", ")
        return hit.id, " · ".join(filter(None, (labels.event_type(visit, EventType(kind)), part)))
    if hit.kind in {HitKind.TOKEN, HitKind.REQUEST}:
        return hit.label, hit.id
    return hit.id, ""


def _address(hit: Hit) -> str:
    """Return where a hit is shown."""
    if hit.kind is HitKind.EVENT:
        return f"/events/{quote(hit.id)}"
    if hit.kind is HitKind.DELIVERY:
        return f"/deliveries/{quote(hit.id)}"
    if hit.kind is HitKind.ATTEMPT:
        return f"/deliveries/{quote(hit.within or '')}?attempt={quote(hit.id)}#{quote(hit.id)}"
    if hit.kind is HitKind.TOKEN:
        return f"/tokens/{quote(hit.id)}"
    if hit.kind is HitKind.CALLBACK:
        return f"/tokens/{quote(hit.within or '')}/callbacks"
    return _in_log(hit)


def _in_log(request: Hit) -> str:
    """Return the address of the log of the request's token, from the request on."""
    address = f"/tokens/{quote(request.within or '')}/log"
    at = made_at(request.id)
    if at is None:
        return address
    until = to_rfc3339(UnixMs(at + 1))
    return f"{address}?{urlencode({'until': until})}#{quote(request.id)}"


PAGES: tuple[Page, ...] = (shown("/search", search),)
