"""Recoveries: what was not delivered, made due once more; asked for, followed, stopped."""

from http import HTTPStatus

from flask import Response

from api.http.responses import json_response
from api.parts import ApiParts
from api.response_models import RecoveryAnswer
from api.routes import Route
from api.serializers import recovery_answer
from schemas.deliveries.recoveries import Recoverable, RecoveryQuery
from schemas.errors import Fault, Invalid
from schemas.ids import RecoveryId, TokenId
from schemas.times import LATEST
from schemas.tokens.permissions import Permission
from store.recoveries import jobs
from web.models.bodies import CreateRecovery
from web.models.queries import IdPath

_TAG = "Deliveries"


def create_recovery(parts: ApiParts, body: CreateRecovery) -> Response:
    """Send again what was not delivered: a job that the dispatchers work on.

    `exhausted` and `held` deliveries, and events that had no delivery for a callback that may see them now (`missing`), by token,
    type and time; without `states` those that are exhausted. Each gets the whole schedule once more, from an attempt with
    `ringback-trigger: recover` on, under the same `webhook-id`. Skipped and counted: those of a token that is not active, of a
    callback that is off or disabled, and stale statuses. Asking twice sends nothing twice.
    """
    if body.until is not None and body.until <= body.since:
        raise Invalid(
            "the body breaks the rules", faults=[Fault("this is not after `since`", "/until")]
        )
    states = tuple(
        state for state in Recoverable if state in (body.states or (Recoverable.EXHAUSTED,))
    )
    token = TokenId(body.token) if body.token else None
    query = RecoveryQuery(
        body.since, LATEST if body.until is None else body.until, states, token, body.type
    )
    return json_response(recovery_answer(jobs.create(parts.database, query)), HTTPStatus.ACCEPTED)


def show_recovery(parts: ApiParts, path: IdPath) -> Response:
    """Show how far a recovery has come."""
    with parts.database.read() as connection:
        return json_response(recovery_answer(jobs.get(connection, RecoveryId(path.id))))


def stop_recovery(parts: ApiParts, path: IdPath) -> Response:
    """Stop a recovery. What it has made due already is sent."""
    jobs.stop(parts.database, RecoveryId(path.id))
    return Response(status=HTTPStatus.NO_CONTENT)


_ADMIN = Permission.PLATFORM_ADMIN
_ALL, _ONE = "/v1/recoveries", "/v1/recoveries/<id>"
_ASKED = frozenset({400, 413, 415, 422})

ROUTES = (
    Route(
        "POST",
        _ALL,
        create_recovery,
        _TAG,
        HTTPStatus.ACCEPTED,
        RecoveryAnswer,
        _ADMIN,
        problems=_ASKED,
    ),
    Route(
        "GET",
        _ONE,
        show_recovery,
        _TAG,
        answer=RecoveryAnswer,
        needs=_ADMIN,
        problems=frozenset({404}),
    ),
    Route(
        "DELETE",
        _ONE,
        stop_recovery,
        _TAG,
        HTTPStatus.NO_CONTENT,
        needs=_ADMIN,
        problems=frozenset({404}),
    ),
)
