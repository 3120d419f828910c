"""Sending again what was not delivered: counted first, then started, with its progress, and the list
of those there were. By the rules and jobs of `POST /v1/recoveries`.
"""

import json
from collections.abc import Iterable
from urllib.parse import urlencode

from flask import Response
from werkzeug.datastructures import MultiDict

from dashboard import labels
from dashboard.filters.deliveries import AskedDeliveries, asked_deliveries
from dashboard.pages import Page, changing, shown
from dashboard.visit import Visit
from schemas.deliveries.deliveries import DeliveryState
from schemas.deliveries.recoveries import Recoverable, Recovery, RecoveryQuery, RecoveryState
from schemas.ids import RecoveryId, TokenId
from schemas.people import Role
from schemas.times import EARLIEST, LATEST, UnixMs, to_rfc3339
from store.engine.database import Connection
from store.recoveries import jobs
from store.tokens.names import names_of
from web.models.bodies import CreateRecovery
from web.models.parsing import from_body
from web.recovery_rules import matched_by, require_query

LISTED = 25
"""Recoveries that are listed, the latest ones."""

_STATES = {state.value for state in Recoverable}
_USUAL = [Recoverable.EXHAUSTED.value, Recoverable.HELD.value]
_WHOLE_NUMBERS = frozenset({"status_code"})
_TOO_MANY_DIGITS = 10
"""Digits with which a text stays one, for the model to refuse: Python reads no thousands of them."""

_TEXTS = ("token", "type", "since", "until", "status_code", "error")


def recoveries(visit: Visit) -> Response:
    """The latest recoveries."""
    with visit.parts.database.read() as connection:
        found = jobs.latest(connection, LISTED)
        names = names_of(connection, (one.query.token for one in found if one.query.token))
    return visit.render(
        "recoveries.html",
        recoveries=[(one, _in_words(visit, one.query, names)) for one in found],
    )


def new_recovery(visit: Visit) -> Response:
    """What would be sent again, counted: nothing happens yet."""
    ticked = visit.query.getlist("delivery")
    with visit.parts.database.read() as connection:
        asked = asked_deliveries(visit, connection)
    back = "/deliveries?" + urlencode(asked.typed)
    if not (ticked or asked.is_usable):
        return visit.go(back)
    if ticked:
        fields = _fields(visit, {"delivery": ticked})
    elif asked.query.state in {None, DeliveryState.EXHAUSTED, DeliveryState.HELD}:
        fields = _fields(visit, _of_filter(visit, asked))
    else:
        return visit.render("new_recovery.html", fields=None, back=back, words=[], counted=None)
    query = _query(fields)
    counted = jobs.count(visit.parts.database, query, matched_by(visit.parts.directory))
    with visit.parts.database.read() as connection:
        words = _in_words(visit, query, _names(connection, query))
    return visit.render(
        "new_recovery.html",
        fields=fields,
        back=back,
        words=words,
        counted=counted,
        ticked=len(ticked),
        states=_choosable(query, ticked),
        chosen=set(query.states),
    )


def start_recovery(visit: Visit) -> Response:
    """Start it."""
    fields = MultiDict((name, text) for name, text in visit.form.items(multi=True))
    started = jobs.create(visit.parts.database, _query(fields))
    return visit.go(f"/recoveries/{started.id}", visit.say("Started."))


def recovery(visit: Visit, recovery_id: str) -> Response:
    """The progress of one."""
    with visit.parts.database.read() as connection:
        found = jobs.get(connection, RecoveryId(recovery_id))
        words = _in_words(visit, found.query, _names(connection, found.query))
    return visit.render(
        "recovery.html",
        recovery=found,
        words=words,
        is_running=found.state is RecoveryState.RUNNING,
        worked=found.done + found.skipped,
        address=_list_address(found),
    )


def stop_recovery(visit: Visit, recovery_id: str) -> Response:
    """Stop one. What it made due already is sent."""
    jobs.stop(visit.parts.database, RecoveryId(recovery_id))
    return visit.go(f"/recoveries/{recovery_id}", visit.say("Stopped."))


def _of_filter(visit: Visit, asked: AskedDeliveries) -> dict[str, list[str]]:
    """Return the fields of a recovery of everything that a filter shows. Times are fixed, so that
    what is started is what was counted.
    """
    query = asked.query
    since = to_rfc3339(EARLIEST if query.since is None else query.since)
    until = to_rfc3339(UnixMs(visit.now) if query.until is None else query.until)
    given = {
        "token": asked.token_id,
        "type": query.type,
        "since": since,
        "until": until,
        "status_code": query.status_code,
        "error": query.error,
    }
    fields = {name: [str(value)] for name, value in given.items() if value is not None}
    return fields | {"states": _USUAL if query.state is None else [query.state.value]}


def _fields(visit: Visit, given: dict[str, list[str]]) -> MultiDict[str, str]:
    """Return fields with the states that the address chooses, if it does."""
    if chosen := [state for state in visit.query.getlist("states") if state in _STATES]:
        given = given | {"states": chosen}
    return MultiDict((name, text) for name, texts in given.items() for text in texts)


def _query(fields: MultiDict[str, str]) -> RecoveryQuery:
    """Read a recovery by the model and the rules of the API. Raises Invalid."""
    body: dict[str, object] = {name: fields[name] for name in _TEXTS if fields.get(name)}
    for name in _WHOLE_NUMBERS & body.keys():
        text = fields[name]
        if text.isdecimal() and len(text) < _TOO_MANY_DIGITS:
            body[name] = int(text)
    for name, field in (("states", "states"), ("deliveries", "delivery")):
        if texts := fields.getlist(field):
            body[name] = texts
    return require_query(from_body(CreateRecovery, json.dumps(body).encode()))


def _choosable(query: RecoveryQuery, ticked: Iterable[str]) -> list[Recoverable]:
    """Return what can be chosen to be sent again; nothing of what was ticked one by one."""
    if ticked:
        return []
    of_attempts = query.status_code is not None or query.error is not None
    return [state for state in Recoverable if state is not Recoverable.MISSING or not of_attempts]


def _names(connection: Connection, query: RecoveryQuery) -> dict[TokenId, str]:
    return names_of(connection, [query.token] if query.token else [])


def _in_words(
    visit: Visit, query: RecoveryQuery, names: dict[TokenId, str]
) -> list[tuple[str, str]]:
    """Return what a recovery sends again, as names with values."""
    say = visit.say
    words: list[tuple[str, str]] = []
    if query.deliveries is not None:
        number = visit.language.number(len(query.deliveries))
        words.append((say("Ticked deliveries"), number))
    else:
        words.append(
            (say("State"), ", ".join(labels.recoverable(visit, state) for state in query.states))
        )
    if query.token:
        words.append((say("Token"), names.get(query.token, query.token)))
    if query.type:
        words.append((say("Type"), labels.event_type(visit, query.type)))
    if query.since > EARLIEST:
        words.append((say("From"), visit.language.moment(query.since, visit.zone)))
    if query.until < LATEST:
        words.append((say("Before"), visit.language.moment(query.until, visit.zone)))
    if query.status_code is not None:
        words.append((say("Last status"), str(query.status_code)))
    if query.error is not None:
        words.append((say("Last result"), labels.outcome(visit, query.error)))
    return words


def _list_address(found: Recovery) -> str | None:
    """Return the address of the list of what a recovery covers; None: its deliveries were ticked."""
    query = found.query
    if query.deliveries is not None:
        return None
    given = {
        "token": query.token,
        "type": query.type,
        "since": None if query.since == EARLIEST else to_rfc3339(query.since),
        "until": to_rfc3339(query.until),
    }
    return "/deliveries?" + urlencode({name: str(text) for name, text in given.items() if text})


PAGES: tuple[Page, ...] = (
    shown("/recoveries", recoveries),
    shown("/recoveries/new", new_recovery, Role.ADMIN),
    changing("/recoveries/new", start_recovery),
    shown("/recoveries/<recovery_id>", recovery),
    changing("/recoveries/<recovery_id>/stop", stop_recovery),
)
