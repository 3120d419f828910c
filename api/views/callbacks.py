"""Callbacks of tokens: set, delete, test."""

from http import HTTPStatus
from wsgiref.types import WSGIEnvironment

from flask import Response

from api.delivery_serializers import attempt_answer
from api.editions import IF_MATCH, expected_editions
from api.http.bodies import problem_of, read_optional_json_body
from api.http.responses import json_response
from api.parts import ApiParts
from api.response_models import AttemptAnswer
from api.routes import Route
from api.serializers import callback_answer
from api.token_models import CallbackAnswer
from schemas.deliveries.deliveries import DeliveryState
from schemas.errors import InvalidEvent
from schemas.events.given_data import event_to_test, given_data
from schemas.ids import TokenId
from schemas.tokens.audit_log import Actor
from schemas.tokens.permissions import Permission
from web.callback_rules import require_callback
from web.models.bodies import PutCallback
from web.models.queries import CallbackPath

_TAG = "Callbacks"


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


def try_callback(parts: ApiParts, path: CallbackPath, environ: WSGIEnvironment) -> Response:
    """Send a signed event now, and return the result of the attempt.

    The event is a sample, or has the `data` of the request, which is checked as that of a published
    event and sent byte for byte. A dispatcher sends it. The event's id starts with `evt_test_`. 429
    for more than one test of a callback a second, after 3 at once. 503 `no-dispatcher` if no
    dispatcher made the attempt in time.
    """
    body = read_optional_json_body(environ) or b"{}"
    token, callback = parts.callbacks.get(TokenId(path.id), path.type)
    try:
        event = event_to_test(callback.type, given_data(body))
    except InvalidEvent as error:
        raise problem_of(error, "the data cannot be sent") from None
    attempt = parts.callback_tests.send(token, callback, event, parts.timeout_s)
    return json_response(attempt_answer(attempt))


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
        takes="CallbackTest",
        is_optional=True,
        problems=_TEST_PROBLEMS,
    ),
)
