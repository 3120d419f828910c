"""Callbacks of tokens: put, deleted, tested."""

import time
from http import HTTPStatus

import msgspec
from flask import Response

from api.http.responses import json_response
from api.parts import ApiParts
from api.response_models import AttemptAnswer, CallbackAnswer
from api.routes import Route
from api.serializers import attempt_answer, callback_answer
from schemas.deliveries.deliveries import Attempt, DeliveryState
from schemas.errors import Conflict, NoDispatcher
from schemas.events.events import Event, parse_event
from schemas.events.samples import sample_body
from schemas.ids import AttemptId, TokenId, new_test_event_id
from schemas.tokens.audit_log import Actor
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import Callback, TokenState
from store.deliveries.requested_attempts import request_test, result_of_test, withdraw_test
from web.callback_rules import require_callback
from web.models.bodies import Nothing, PutCallback
from web.models.queries import CallbackPath

_TAG = "Callbacks"

_LOOK_EVERY_S = 0.05
"""Longer: the answer to a test comes later than its attempt. Shorter: more queries for nothing
while a receiver thinks.
"""

_GRACE_S = (
    2.0  # beyond the attempt's own timeout: for a dispatcher to take it, and to write it down
)


def put_callback(parts: ApiParts, actor: Actor, path: CallbackPath, body: PutCallback) -> Response:
    """Set the URL for an event type, its headers, and whether it is on. Its deliveries stay its
    own.
    """
    callback = parts.callbacks.put(
        TokenId(path.id), path.type, require_callback(parts.policy, body), actor
    )
    return json_response(callback_answer(callback, parts.directory.now()))


def delete_callback(parts: ApiParts, actor: Actor, path: CallbackPath) -> Response:
    """Delete a callback; its open deliveries are cancelled."""
    cancelled = parts.callbacks.delete(TokenId(path.id), path.type, actor)
    parts.observer.settled(path.type, DeliveryState.CANCELLED, cancelled)
    return Response(status=HTTPStatus.NO_CONTENT)


def try_callback(parts: ApiParts, path: CallbackPath, body: Nothing) -> Response:  # noqa: ARG001 - what it would hold is refused
    """Have a dispatcher send a signed sample now, and answer what came of it.

    The event's id starts with `evt_test_`. 503 `no-dispatcher` when none took it in time.
    """
    token, callback = parts.callbacks.get(TokenId(path.id), path.type)
    now = parts.database.time()
    state = token.state(now)
    if state is not TokenState.ACTIVE:
        raise Conflict(f"the token is {state.value}: only an active one is called")
    event = _sample(callback)
    attempt_id = request_test(parts.database, event, callback, now)
    return json_response(attempt_answer(_wait(parts, event, callback, attempt_id)))


def _sample(callback: Callback) -> Event:
    return msgspec.structs.replace(
        parse_event(sample_body(callback.type)), id=new_test_event_id(), given_timestamp=None
    )


def _wait(parts: ApiParts, event: Event, callback: Callback, attempt_id: AttemptId) -> Attempt:
    patience_s = parts.timeout_s + _GRACE_S
    end_s = time.monotonic() + patience_s
    while (attempt := result_of_test(parts.database, event.id, callback.id, attempt_id)) is None:
        if time.monotonic() > end_s:
            withdraw_test(parts.database, event.id, callback.id, attempt_id)
            raise NoDispatcher(
                f"no dispatcher made the attempt within {patience_s:g} s: is one running?"
            )
        time.sleep(_LOOK_EVERY_S)
    return attempt


_ADMIN = Permission.PLATFORM_ADMIN
_ONE = "/v1/tokens/<id>/callbacks/<type>"
_CHANGED = frozenset({400, 404, 409, 413, 415, 422})
_TRIED = _CHANGED | {503}

ROUTES = (
    Route("PUT", _ONE, put_callback, _TAG, answer=CallbackAnswer, needs=_ADMIN, problems=_CHANGED),
    Route(
        "DELETE",
        _ONE,
        delete_callback,
        _TAG,
        HTTPStatus.NO_CONTENT,
        needs=_ADMIN,
        problems=frozenset({404, 409}),
    ),
    Route(
        "POST",
        _ONE + "/test",
        try_callback,
        _TAG,
        answer=AttemptAnswer,
        needs=_ADMIN,
        problems=_TRIED,
    ),
)
