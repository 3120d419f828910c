"""Tokens: create, list, show, change, revoke; replace or show their secrets."""

from dataclasses import replace
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
from schemas.times import UnixMs
from schemas.tokens.audit_log import Actor
from schemas.tokens.fields import TokenFields
from schemas.tokens.permissions import Permission
from store.tokens.listing import TokenFilter, list_tokens
from web.callback_rules import require_callbacks
from web.models.bodies import CreateToken, PatchToken, Regenerate, RotateSigningSecret
from web.models.queries import IdPath, TokensQuery

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
    created = parts.tokens.create(_new_fields(body, now), callbacks, now, actor)
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
        TokenId(path.id), lambda fields: _edited(fields, body), actor, expected_editions(environ)
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


def _new_fields(body: CreateToken, now: UnixMs) -> TokenFields:
    return TokenFields(
        name=body.name,
        activates_at=now if body.activates_at is None else body.activates_at,
        expires_at=body.expires_at,
        enabled=body.enabled is not False,
        permissions=frozenset(body.permissions or ()),
        channels=_channels(body),
        contact=body.contact,
    )


def _edited(fields: TokenFields, body: PatchToken) -> TokenFields:
    """Apply a patch. Null leaves a field unchanged, except for `expires_at` and `contact`, which
    may be none.
    """
    given = body.model_fields_set
    return replace(
        fields,
        name=fields.name if body.name is None else body.name,
        activates_at=fields.activates_at if body.activates_at is None else body.activates_at,
        expires_at=body.expires_at if "expires_at" in given else fields.expires_at,
        enabled=fields.enabled if body.enabled is None else body.enabled,
        permissions=fields.permissions if body.permissions is None else frozenset(body.permissions),
        channels=fields.channels if body.visibility is None else _channels(body),
        contact=body.contact if "contact" in given else fields.contact,
    )


def _channels(body: CreateToken | PatchToken) -> frozenset[str] | None:
    if body.visibility is None or body.visibility.channels is None:
        return None
    return frozenset(body.visibility.channels)


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
