"""Tokens: create, list, show, change, revoke; replace or show their secrets."""

from http import HTTPStatus
from wsgiref.types import WSGIEnvironment

from flask import Response

from api.editions import IF_MATCH, expected_editions, with_etag
from api.http.responses import json_response
from api.list_models import TokenPage
from api.parts import ApiParts
from api.routes import Route
from api.serializers import new_token_answer, token_answer, token_page
from api.token_models import NewTokenAnswer, SigningSecretAnswer, TokenAnswer
from schemas.deliveries.deliveries import DeliveryState
from schemas.ids import TokenId
from schemas.tokens.audit_log import Actor
from schemas.tokens.permissions import Permission
from store.tokens.listing import TokenFilter, list_tokens
from web.callback_rules import require_callbacks
from web.models.bodies import CreateToken, PatchToken, Regenerate, RotateSigningSecret
from web.models.queries import IdPath, TokensQuery
from web.token_fields import edited, new_fields

_TAG = "Tokens"


def list_of_tokens(parts: ApiParts, query: TokensQuery) -> Response:
    """List tokens.

    Revoked ones are listed only with `state=revoked`.
    """
    now = parts.directory.now()
    selected = TokenFilter(query.search, query.state, query.sort, query.filter)
    with parts.database.read() as connection:
        return json_response(
            token_page(
                list_tokens(connection, parts.vault, selected, now, query.limit, query.cursor), now
            )
        )


def create_token(parts: ApiParts, actor: Actor, body: CreateToken) -> Response:
    """Create a token.

    The response holds the token and its signing secret. The token is shown only once.
    """
    now = parts.database.time()
    callbacks = require_callbacks(parts.policy, body.callbacks or {})
    created = parts.tokens.create(new_fields(body, now), callbacks, now, actor)
    answer = new_token_answer(created, now)
    return with_etag(json_response(answer, HTTPStatus.CREATED), created.token)


def show_token(parts: ApiParts, path: IdPath) -> Response:
    """Show a token."""
    token = parts.tokens.get(TokenId(path.id))
    return with_etag(json_response(token_answer(token, parts.directory.now())), token)


def patch_token(
    parts: ApiParts, environ: WSGIEnvironment, actor: Actor, path: IdPath, body: PatchToken
) -> Response:
    """Change a token.

    `enabled` suspends and resumes it. A change takes effect everywhere within a second.
    """
    token = parts.tokens.change(
        TokenId(path.id), lambda fields: edited(fields, body), actor, expected_editions(environ)
    )
    return with_etag(json_response(token_answer(token, parts.directory.now())), token)


def revoke_token(parts: ApiParts, environ: WSGIEnvironment, actor: Actor, path: IdPath) -> Response:
    """Revoke a token for good.

    Within a second it no longer authenticates, and its callbacks are no longer called. Its open
    deliveries are cancelled.
    """
    cancelled = parts.tokens.revoke(
        TokenId(path.id), parts.database.time(), actor, expected_editions(environ)
    )
    for event_type, count in cancelled.items():
        parts.observer.settled(event_type, DeliveryState.CANCELLED, count)
    return Response(status=HTTPStatus.NO_CONTENT)


def regenerate_token(parts: ApiParts, actor: Actor, path: IdPath, body: Regenerate) -> Response:
    """Replace the secret of a token.

    The previous secret stays valid for `overlap`.
    """
    now = parts.database.time()
    return json_response(
        new_token_answer(parts.tokens.regenerate(TokenId(path.id), body.overlap, now, actor), now)
    )


def rotate_signing_secret(
    parts: ApiParts, actor: Actor, path: IdPath, body: RotateSigningSecret
) -> Response:
    """Replace the signing secret.

    For `overlap` webhooks are signed with the previous one, too. At most five secrets sign at a
    time.
    """
    secret = parts.tokens.rotate_signing_secret(
        TokenId(path.id), body.overlap, parts.database.time(), actor
    )
    return json_response(SigningSecretAnswer(secret))


def show_signing_secret(parts: ApiParts, actor: Actor, path: IdPath) -> Response:
    """Show the signing secret again.

    The token's changes record that it was shown.
    """
    return json_response(SigningSecretAnswer(parts.tokens.signing_secret(TokenId(path.id), actor)))


_ADMIN = Permission.PLATFORM_ADMIN
_TOKEN = "/v1/tokens/<id>"
_SHOW_PROBLEMS, _CHANGE_PROBLEMS = frozenset({404}), frozenset({400, 404, 409, 413, 415, 422})
_EDITED = frozenset({412})

ROUTES = (
    Route(
        "GET",
        "/v1/tokens",
        list_of_tokens,
        _TAG,
        answer=TokenPage,
        needs=_ADMIN,
        problems=frozenset({422}),
    ),
    Route(
        "POST",
        "/v1/tokens",
        create_token,
        _TAG,
        status=HTTPStatus.CREATED,
        answer=NewTokenAnswer,
        needs=_ADMIN,
        etag=True,
        problems=frozenset({400, 413, 415, 422}),
    ),
    Route(
        "GET",
        _TOKEN,
        show_token,
        _TAG,
        answer=TokenAnswer,
        needs=_ADMIN,
        etag=True,
        problems=_SHOW_PROBLEMS,
    ),
    Route(
        "PATCH",
        _TOKEN,
        patch_token,
        _TAG,
        answer=TokenAnswer,
        needs=_ADMIN,
        etag=True,
        headers=(IF_MATCH,),
        problems=_CHANGE_PROBLEMS | _EDITED,
    ),
    Route(
        "DELETE",
        _TOKEN,
        revoke_token,
        _TAG,
        status=HTTPStatus.NO_CONTENT,
        needs=_ADMIN,
        headers=(IF_MATCH,),
        problems=_SHOW_PROBLEMS | _EDITED,
    ),
    Route(
        "POST",
        _TOKEN + "/regenerate",
        regenerate_token,
        _TAG,
        answer=NewTokenAnswer,
        needs=_ADMIN,
        problems=_CHANGE_PROBLEMS,
    ),
    Route(
        "POST",
        _TOKEN + "/rotate-signing-secret",
        rotate_signing_secret,
        _TAG,
        answer=SigningSecretAnswer,
        needs=_ADMIN,
        problems=_CHANGE_PROBLEMS,
    ),
    Route(
        "GET",
        _TOKEN + "/signing-secret",
        show_signing_secret,
        _TAG,
        answer=SigningSecretAnswer,
        needs=_ADMIN,
        problems=frozenset({404, 409}),
    ),
)
