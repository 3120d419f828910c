"""Recoveries, jobs that send undelivered events again: create, count, show, stop."""

from http import HTTPStatus

from flask import Response

from api.http.responses import json_response
from api.parts import ApiParts
from api.response_models import RecoveryAnswer, RecoveryCount
from api.routes import Route
from api.serializers import recovery_answer
from schemas.ids import RecoveryId
from schemas.tokens.permissions import Permission
from store.recoveries import jobs
from web.models.bodies import CreateRecovery
from web.models.queries import IdPath
from web.recovery_rules import matched_by, require_query

_TAG = "Deliveries"


def create_recovery(parts: ApiParts, body: CreateRecovery) -> Response:
    """Create a recovery: the dispatchers send undelivered events again.

    A recovery selects `exhausted` and `held` deliveries, and events without a delivery for a
    callback that may see them now (`missing`), by what is given in the request. Without `states` it
    selects exhausted deliveries only. Each delivery gets the whole schedule again, under the same
    `webhook-id`; its first new attempt has `ringback-trigger: recover`.

    A recovery skips, and counts, deliveries of a token that is not active, of a callback that is
    off or disabled, and outdated statuses. Creating the same recovery twice sends nothing twice.

    With `dry_run`, 200 answers how many deliveries it would find, and nothing happens.
    """
    query = require_query(body)
    if body.dry_run:
        counted = jobs.count(parts.database, query, matched_by(parts.directory))
        return json_response(RecoveryCount(counted.total, counted.is_complete))
    return json_response(recovery_answer(jobs.create(parts.database, query)), HTTPStatus.ACCEPTED)


def show_recovery(parts: ApiParts, path: IdPath) -> Response:
    """Show the progress of a recovery."""
    with parts.database.read() as connection:
        return json_response(recovery_answer(jobs.get(connection, RecoveryId(path.id))))


def stop_recovery(parts: ApiParts, path: IdPath) -> Response:
    """Stop a recovery.

    Deliveries that it has made due already are sent.
    """
    jobs.stop(parts.database, RecoveryId(path.id))
    return Response(status=HTTPStatus.NO_CONTENT)


_ADMIN = Permission.PLATFORM_ADMIN
_RECOVERIES, _RECOVERY = "/v1/recoveries", "/v1/recoveries/<id>"
_CREATE_PROBLEMS = frozenset({400, 413, 415, 422})

ROUTES = (
    Route(
        "POST",
        _RECOVERIES,
        create_recovery,
        _TAG,
        status=HTTPStatus.ACCEPTED,
        answer=RecoveryAnswer,
        other_success=(HTTPStatus.OK, RecoveryCount),
        needs=_ADMIN,
        problems=_CREATE_PROBLEMS,
    ),
    Route(
        "GET",
        _RECOVERY,
        show_recovery,
        _TAG,
        answer=RecoveryAnswer,
        needs=_ADMIN,
        problems=frozenset({404}),
    ),
    Route(
        "DELETE",
        _RECOVERY,
        stop_recovery,
        _TAG,
        status=HTTPStatus.NO_CONTENT,
        needs=_ADMIN,
        problems=frozenset({404}),
    ),
)
