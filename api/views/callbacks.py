"""Callbacks of tokens: set, delete, test."""

import time
from collections.abc import Callable
from http import HTTPStatus
from wsgiref.types import WSGIEnvironment

import msgspec
from flask import Response

from api.attempt_serializers import attempt_answer
from api.editions import IF_MATCH, expected_editions
from api.http.responses import json_response
from api.parts import ApiParts
from api.response_models import AttemptAnswer
from api.routes import Route
from api.serializers import callback_answer
from api.token_models import CallbackAnswer
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

_POLL_EVERY_S = 0.05
"""Longer: the result of a test is returned later. Shorter: more queries while the receiver has not
answered yet.
"""

_GRACE_S = 2.0
"""In addition to the attempt's own timeout: for a dispatcher to lease the attempt and to record it.
Longer: without a dispatcher the caller waits longer. Shorter: a busy dispatcher is reported as
missing.
"""


def put_callback(
    parts: ApiParts, environ: WSGIEnvironment, actor: Actor, path: CallbackPath, body: PutCallback
) -> Response:
    """Set the callback for an event type: its URL, its headers, and whether it is enabled.

    A callback that is changed keeps its deliveries.
    """
    callback = parts.callbacks.put(
        TokenId(path.id),
        path.type,
        require_callback(parts.policy, body),
        actor,
        expected_editions(environ),
    )
    return json_response(callback_answer(callback, parts.directory.now()))


def delete_callback(
    parts: ApiParts, environ: WSGIEnvironment, actor: Actor, path: CallbackPath
) -> Response:
    """Delete a callback.

    Its open deliveries are cancelled.
    """
    cancelled = parts.callbacks.delete(
        TokenId(path.id), path.type, actor, expected_editions(environ)
    )
    parts.observer.settled(path.type, DeliveryState.CANCELLED, cancelled)
    return Response(status=HTTPStatus.NO_CONTENT)


def try_callback(parts: ApiParts, path: CallbackPath, body: Nothing) -> Response:  # noqa: ARG001 - the model refuses any field
    """Send a signed sample now, and return the result of the attempt.

    A dispatcher sends it. The event's id starts with `evt_test_`. 503 `no-dispatcher` if no
    dispatcher made the attempt in time.
    """
    token, callback = parts.callbacks.get(TokenId(path.id), path.type)
    now = parts.database.time()
    state = token.state(now)
    if state is not TokenState.ACTIVE:
        raise Conflict(f"the token is {state.value}: only callbacks of an active token are called")
    event = _sample(callback)
    with parts.threads.pausing() as pause:
        attempt_id = request_test(parts.database, event, callback, now)
        attempt = _wait(parts, event, callback, attempt_id, pause)
    return json_response(attempt_answer(attempt))


def _sample(callback: Callback) -> Event:
    return msgspec.structs.replace(
        parse_event(sample_body(callback.type)), id=new_test_event_id(), given_timestamp=None
    )


def _wait(
    parts: ApiParts,
    event: Event,
    callback: Callback,
    attempt_id: AttemptId,
    pause: Callable[[float], None],
) -> Attempt:
    """Poll for the attempt. Raises NoDispatcher."""
    timeout_s = parts.timeout_s + _GRACE_S
    end_s = time.monotonic() + timeout_s
    while (attempt := result_of_test(parts.database, event.id, callback.id, attempt_id)) is None:
        if time.monotonic() > end_s:
            withdraw_test(parts.database, event.id, callback.id, attempt_id)
            raise NoDispatcher(
                f"no dispatcher made the attempt within {timeout_s:g} s: check that one is running"
            )
        pause(_POLL_EVERY_S)
    return attempt


_ADMIN = Permission.PLATFORM_ADMIN
_CALLBACK = "/v1/tokens/<id>/callbacks/<type>"
_PUT_PROBLEMS = frozenset({400, 404, 409, 413, 415, 422})
_TEST_PROBLEMS = _PUT_PROBLEMS | {503}

ROUTES = (
    Route(
        "PUT",
        _CALLBACK,
        put_callback,
        _TAG,
        answer=CallbackAnswer,
        needs=_ADMIN,
        headers=(IF_MATCH,),
        problems=_PUT_PROBLEMS | {412},
    ),
    Route(
        "DELETE",
        _CALLBACK,
        delete_callback,
        _TAG,
        status=HTTPStatus.NO_CONTENT,
        needs=_ADMIN,
        headers=(IF_MATCH,),
        problems=frozenset({404, 409, 412}),
    ),
    Route(
        "POST",
        _CALLBACK + "/test",
        try_callback,
        _TAG,
        answer=AttemptAnswer,
        needs=_ADMIN,
        problems=_TEST_PROBLEMS,
    ),
)
