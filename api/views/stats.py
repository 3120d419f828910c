"""Figures of traffic over time, for administrators."""

from flask import Response

from api.figure_models import FiguresAnswer
from api.figure_serializers import figures_answer
from api.http.responses import json_response
from api.parts import ApiParts
from api.routes import Route
from schemas.errors import Fault, Invalid
from schemas.figures import HOUR_MS, KEPT_BY_HOUR_MS, Step, minutes_since, usual_step
from schemas.ids import CallbackId
from schemas.times import EARLIEST, UnixMs, to_rfc3339
from schemas.tokens.permissions import Permission
from store.stats.figures import figures
from web.models.queries import FiguresQuery

_TAG = "Statistics"
_DAY_MS = 24 * HOUR_MS
_INVALID = "a query parameter is invalid"


def show_stats(parts: ApiParts, query: FiguresQuery) -> Response:
    """Show what was accepted, attempted and settled over time, how long it took, and what waited.

    Figures are kept by minute for two days, then by hour for thirteen months. A period of up to six
    hours is shown by minute, one of up to two days by five minutes, and a longer or older one by
    hour. The last point may still grow.
    """
    with parts.database.read() as connection:
        now = parts.database.now(connection)
        since, until = _period(query, now)
        series = figures(
            connection,
            since,
            until,
            _step(query, since, until, now),
            callback=CallbackId(query.callback) if query.callback else None,
            event_type=query.type,
        )
    return json_response(figures_answer(series, of_callback=query.callback is not None))


def _period(query: FiguresQuery, now: UnixMs) -> tuple[UnixMs, UnixMs]:
    """Return the part of the asked period that there can be figures of. Raises Invalid."""
    until = now if query.until is None else query.until
    since = UnixMs(max(EARLIEST, until - _DAY_MS)) if query.since is None else query.since
    if since >= until:
        raise _invalid("/from", "this is not before `until`")
    first = UnixMs(now - KEPT_BY_HOUR_MS)
    until = min(until, now)
    return min(max(since, first), until), until


def _step(query: FiguresQuery, since: UnixMs, until: UnixMs, now: UnixMs) -> Step:
    """Return the step that was asked for, or the usual one. Raises Invalid for one that is finer
    than what is kept.
    """
    if query.callback is not None:
        if query.type is not None:
            raise _invalid("/type", "a callback has one type: leave this out")
        if query.step not in {None, Step.HOUR}:
            raise _invalid("/step", "figures of a callback are kept by the hour: use 1h")
        return Step.HOUR
    kept_since = minutes_since(now)
    if query.step in {Step.MINUTE, Step.FIVE_MINUTES} and since < kept_since:
        raise _invalid(
            "/step",
            f"figures from before {to_rfc3339(kept_since)} are kept by the hour: use 1h, or a later"
            " `from`",
        )
    return query.step or usual_step(since, until, now)


def _invalid(pointer: str, detail: str) -> Invalid:
    return Invalid(_INVALID, faults=[Fault(detail, pointer)])


ROUTES = (
    Route(
        "GET",
        "/v1/stats",
        show_stats,
        _TAG,
        answer=FiguresAnswer,
        needs=Permission.PLATFORM_ADMIN,
        problems=frozenset({422}),
    ),
)
