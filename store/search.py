"""Finds what an id or a name stands for, as people paste it into one box. Reads only; called by the
pages.

Each query is bounded by the rows that it looks at. Neither conversations nor messages have an index
in `events`: one costs each claim a third more time in PostgreSQL, and 90 bytes. They are looked for
among the newest events. Nothing else in the data is searched: not everyone may read it.
"""

import operator
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa

from schemas.deliveries.deliveries import DeliveryState
from schemas.events.stored_bodies import stored_facts
from schemas.folding import folded
from schemas.ids import EVENT_ID, delivery_id, first_request_id, made_at, split_delivery_id
from schemas.search import Found, Hit, HitKind
from schemas.texts import storable
from schemas.times import UnixMs
from store.deliveries.rows import DELIVERY_KEY
from store.engine.database import Connection
from store.engine.paging import SCAN_ROWS, Row, bounded, end_of_scan
from store.tables import (
    attempts,
    callbacks,
    deliveries,
    events,
    requested_attempts,
    requests,
    tokens,
)

LONGEST = 300
"""Characters of a text that is searched for. Longer ones are no id and no name."""

MOST = 10
"""Hits of one kind. More: a longer list, in which what is meant is harder to see."""

SEARCHED_BODY_BYTES = 4096
"""The longest bodies in which a message is looked for. Longer: a search reads more. Shorter: events
with long texts are not found by their message.
"""

_LATER_MS = 10 * 60 * 1000
"""How much later than an id, in milliseconds, a row that belongs to it may have been made: clocks
differ, and a request is logged when it has ended.
"""

_TRIED_LATE = (None, DeliveryState.PENDING, DeliveryState.EXHAUSTED)
"""The states by which deliveries are looked at for an attempt; None: any."""

_EVENT_KEY = (events.c.accepted_at, events.c.id)


def find(connection: Connection, text: str, *, in_events: bool = True) -> Found:
    """Return what has this id: an event, delivery, attempt, token or request; what is part of this
    conversation or message; tokens whose name and callbacks whose host hold the text.

    Without `in_events` conversations and messages are not searched: they are data of events, which
    not everyone may see.
    """
    wanted = text.strip()
    if not wanted or len(wanted) > LONGEST or storable(wanted) != wanted:
        return Found([])
    by_id = _BY_PREFIX.get(wanted[:4])
    if by_id is not None:
        return Found(by_id(connection, wanted))
    hits = [*_events(connection, wanted), *_named(connection, wanted), *_hosts(connection, wanted)]
    if not in_events or (wanted.startswith("evt_") and hits):
        return Found(hits)
    mentioning, looked_until = _mentioning(connection, wanted)
    known = {hit.id for hit in hits}
    return Found([*hits, *(hit for hit in mentioning if hit.id not in known)], looked_until)


def _events(connection: Connection, wanted: str) -> list[Hit]:
    """Return the event with this id: backends choose ids as they like."""
    if not EVENT_ID.fullmatch(wanted):
        return []
    found = sa.select(events.c.id, events.c.type).where(events.c.id == wanted)
    return [Hit(HitKind.EVENT, row.id, row.type) for row in connection.execute(found)]


def _deliveries(connection: Connection, wanted: str) -> list[Hit]:
    """Return the delivery with this id, also while its first attempt is under way."""
    key = split_delivery_id(wanted)
    if key is None:
        return []
    event_id, callback_id = key
    c, e = deliveries.c, events.c
    recorded = sa.select(c.type, c.state).where(
        c.event_id == event_id, c.callback_id == callback_id
    )
    for row in connection.execute(recorded):
        return [Hit(HitKind.DELIVERY, wanted, f"{row.type}, {row.state}")]
    claimed = sa.select(e.type, e.callbacks).where(e.id == event_id)
    return [
        Hit(HitKind.DELIVERY, wanted, f"{row.type}, pending")
        for row in connection.execute(claimed)
        if callback_id in row.callbacks.split()
    ]


def _attempts(connection: Connection, wanted: str) -> list[Hit]:
    """Return the attempt with this id. No index knows it, but its delivery was created before it.
    The newest deliveries are looked at, then those that are open or were given up: late attempts
    are mostly theirs.
    """
    at = made_at(wanted)
    if at is None:
        return []
    r = requested_attempts.c
    asked = sa.select(r.event_id, r.callback_id).where(r.id == wanted)
    for query in (asked, *(_attempt_query(wanted, at, state) for state in _TRIED_LATE)):
        for row in connection.execute(query):
            delivery = delivery_id(row.event_id, row.callback_id)
            return [Hit(HitKind.ATTEMPT, wanted, delivery, within=delivery)]
    return []


def _attempt_query(wanted: str, at: UnixMs, state: DeliveryState | None) -> sa.Select[str, str]:
    """Return the query for an attempt among those of the newest deliveries, in a state or in any,
    that were created before it.
    """
    c, a = deliveries.c, attempts.c
    # a parameter would not let the partial index be used
    in_state = (
        ()
        if state is None
        else (c.state != sa.literal_column("'delivered'"), c.state == state.value)
    )
    newest = (
        sa.select(c.event_id, c.callback_id)
        .where(c.created_at <= at + _LATER_MS, *in_state)
        .order_by(*(column.desc() for column in DELIVERY_KEY))
        .limit(SCAN_ROWS)
        .subquery()
    )
    theirs = sa.and_(a.event_id == newest.c.event_id, a.callback_id == newest.c.callback_id)
    joined = newest.join(attempts, theirs)
    return sa.select(a.event_id, a.callback_id).select_from(joined).where(a.id == wanted)


def _tokens(connection: Connection, wanted: str) -> list[Hit]:
    found = sa.select(tokens.c.id, tokens.c.name).where(tokens.c.id == wanted)
    return [Hit(HitKind.TOKEN, row.id, row.name) for row in connection.execute(found)]


def _requests(connection: Connection, wanted: str) -> list[Hit]:
    """Return the request with this id, or whose response had it as `X-Request-Id`. The row of the
    latter has an id of its own, made when the request had ended.
    """
    at = made_at(wanted)
    if at is None:
        return []
    r = requests.c
    written = sa.and_(r.id >= first_request_id(at), r.id < first_request_id(at + _LATER_MS))
    some = sa.select(r.id).where(written).order_by(r.id).limit(SCAN_ROWS).subquery()
    shown = sa.select(r.id, r.token_id, r.method, r.path).where(r.token_id.is_not(None))
    queries = (
        shown.where(r.id == wanted),
        shown.join(some, some.c.id == r.id).where(r.request_id == wanted).limit(MOST),
    )
    for query in queries:
        if rows := connection.execute(query).all():
            return [_request(row) for row in rows]
    return []


def _request(row: Row) -> Hit:
    label = " ".join(part for part in (row.method, row.path) if part)
    return Hit(HitKind.REQUEST, row.id, label, within=row.token_id)


def _named(connection: Connection, wanted: str) -> list[Hit]:
    """Return the tokens whose name holds a text, those that begin with it first and revoked ones
    last.
    """
    c, name = tokens.c, folded(wanted)
    holding = sa.select(c.id, c.name).where(c.folded.contains(name, autoescape=True))
    begins = sa.case((c.folded.startswith(name, autoescape=True), 0), else_=1)
    ordered = holding.order_by(c.revoked_at.is_not(None), begins, c.folded, c.id)
    rows = connection.execute(ordered.limit(MOST))
    return [Hit(HitKind.TOKEN, row.id, row.name) for row in rows]


def _hosts(connection: Connection, wanted: str) -> list[Hit]:
    """Return the callbacks whose host holds a text, or is that of a URL."""
    host = _host(wanted) if "://" in wanted else wanted.lower()
    if not host:
        return []
    c = callbacks.c
    # the path may hold it too: more are read than are shown
    holding = sa.select(c.token_id, c.type, c.url).where(
        sa.func.lower(c.url).contains(host, autoescape=True)
    )
    rows = connection.execute(holding.order_by(c.url, c.id).limit(MOST * MOST))
    found = [(row, name) for row in rows if host in (name := _host(row.url))]
    return [
        Hit(HitKind.CALLBACK, row.type, name, within=row.token_id) for row, name in found[:MOST]
    ]


def _host(url: str) -> str:
    """Return the host of a URL in lower case; empty for what is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _mentioning(connection: Connection, wanted: str) -> tuple[list[Hit], UnixMs | None]:
    """Return the newest events of a conversation or message with this id, and how far back was
    looked; None: to the first event.
    """
    c = events.c
    end = end_of_scan(connection, _EVENT_KEY, ())
    among = [] if end is None else bounded(_EVENT_KEY, end, operator.ge)
    spelled = msgspec.json.encode(wanted)
    if connection.dialect.name == "postgresql":
        where = sa.func.position(sa.literal(spelled).op("IN")(c.body))
    else:
        where = sa.func.instr(c.body, spelled)
    in_body = sa.and_(sa.func.length(c.body) <= SEARCHED_BODY_BYTES, where > 0)
    holding = (
        sa.select(c.id, c.type, c.conversation_id, c.body)
        .where(*among, sa.or_(c.conversation_id == wanted, in_body))
        .order_by(*(column.desc() for column in _EVENT_KEY))
        .limit(MOST * MOST)
    )
    hits = [hit for row in connection.execute(holding) if (hit := _part(row, wanted))]
    return hits[:MOST], None if end is None else UnixMs(int(end[0]))


def _part(row: Row, wanted: str) -> Hit | None:
    """Return the event as a part of what was searched for; None when only other data hold it."""
    if row.conversation_id == wanted:
        return Hit(HitKind.EVENT, row.id, f"{row.type}, conversation {wanted}")
    facts = stored_facts(row.type, bytes(row.body))
    if facts is None or facts.message_id != wanted:
        return None
    return Hit(HitKind.EVENT, row.id, f"{row.type}, message {wanted}")


_BY_PREFIX: dict[str, Callable[[Connection, str], list[Hit]]] = {
    "dlv_": _deliveries,
    "att_": _attempts,
    "tok_": _tokens,
    "req_": _requests,
}
"""How ids are found that only Ringback makes."""
