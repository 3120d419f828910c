"""Tokens: made, listed, changed, revoked, and their secrets replaced or shown."""

from dataclasses import replace
from http import HTTPStatus

from flask import Response

from api.http.responses import json_response
from api.list_models import TokenPage
from api.parts import ApiParts
from api.response_models import NewTokenAnswer, SigningSecretAnswer, TokenAnswer
from api.routes import Route
from api.serializers import new_token_answer, token_answer, token_page
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
    """List tokens; revoked ones only with `state=revoked`."""
    now = parts.directory.now()
    chosen = TokenFilter(query.search, query.state, query.sort)
    with parts.database.read() as connection:
        return json_response(
            token_page(
                list_tokens(connection, parts.vault, chosen, now, query.limit, query.cursor), now
            )
        )


def create_token(parts: ApiParts, actor: Actor, body: CreateToken) -> Response:
    """Make a token.

    The answer holds the token and its signing secret: the token is never shown again.
    """
    now = parts.database.time()
    callbacks = require_callbacks(parts.policy, body.callbacks or {})
    made = parts.tokens.create(_new_fields(body, now), callbacks, now, actor)
    return json_response(new_token_answer(made, now), HTTPStatus.CREATED)


def show_token(parts: ApiParts, path: IdPath) -> Response:
    """Show a token."""
    return json_response(token_answer(parts.tokens.get(TokenId(path.id)), parts.directory.now()))


def patch_token(parts: ApiParts, actor: Actor, path: IdPath, body: PatchToken) -> Response:
    """Change a token; `enabled: false` suspends it, and back. In force everywhere within a second.
    """
    token = parts.tokens.change(TokenId(path.id), lambda fields: _edited(fields, body), actor)
    return json_response(token_answer(token, parts.directory.now()))


def revoke_token(parts: ApiParts, actor: Actor, path: IdPath) -> Response:
    """Revoke a token for good.

    Within a second it authenticates nothing and calls nobody; its open deliveries are cancelled.
    """
    for kind, count in parts.tokens.revoke(TokenId(path.id), parts.database.time(), actor).items():
        parts.observer.settled(kind, DeliveryState.CANCELLED, count)
    return Response(status=HTTPStatus.NO_CONTENT)


def regenerate_token(parts: ApiParts, actor: Actor, path: IdPath, body: Regenerate) -> Response:
    """Replace the token's secret; the one before goes on being valid for `overlap`."""
    now = parts.database.time()
    return json_response(
        new_token_answer(parts.tokens.regenerate(TokenId(path.id), body.overlap, now, actor), now)
    )


def rotate_signing_secret(
    parts: ApiParts, actor: Actor, path: IdPath, body: RotateSigningSecret
) -> Response:
    """Replace the signing secret; for `overlap` the one before signs too. At most five sign at
    once.
    """
    made = parts.tokens.rotate_signing_secret(
        TokenId(path.id), body.overlap, parts.database.time(), actor
    )
    return json_response(SigningSecretAnswer(made))


def show_signing_secret(parts: ApiParts, actor: Actor, path: IdPath) -> Response:
    """Show the signing secret again. That is recorded, among the token's changes."""
    return json_response(SigningSecretAnswer(parts.tokens.signing_secret(TokenId(path.id), actor)))


def _new_fields(body: CreateToken, now: UnixMs) -> TokenFields:
    return TokenFields(
        name=body.name,
        activates_at=now if body.activates_at is None else body.activates_at,
        expires_at=body.expires_at,
        enabled=body.enabled is not False,
        permissions=frozenset(body.permissions or ()),
        channels=_channels(body),
    )


def _edited(fields: TokenFields, body: PatchToken) -> TokenFields:
    """Null leaves a field as it is, but for `expires_at`, where it means never."""
    return replace(
        fields,
        name=fields.name if body.name is None else body.name,
        activates_at=fields.activates_at if body.activates_at is None else body.activates_at,
        expires_at=body.expires_at if "expires_at" in body.model_fields_set else fields.expires_at,
        enabled=fields.enabled if body.enabled is None else body.enabled,
        permissions=fields.permissions if body.permissions is None else frozenset(body.permissions),
        channels=fields.channels if body.visibility is None else _channels(body),
    )


def _channels(body: CreateToken | PatchToken) -> frozenset[str] | None:
    if body.visibility is None or body.visibility.channels is None:
        return None
    return frozenset(body.visibility.channels)


_ADMIN = Permission.PLATFORM_ADMIN
_ONE = "/v1/tokens/<id>"
_ABSENT, _CHANGED = frozenset({404}), frozenset({400, 404, 409, 413, 415, 422})
_SECRET = SigningSecretAnswer

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
        HTTPStatus.CREATED,
        NewTokenAnswer,
        _ADMIN,
        problems=frozenset({400, 413, 415, 422}),
    ),
    Route("GET", _ONE, show_token, _TAG, answer=TokenAnswer, needs=_ADMIN, problems=_ABSENT),
    Route("PATCH", _ONE, patch_token, _TAG, answer=TokenAnswer, needs=_ADMIN, problems=_CHANGED),
    Route(
        "DELETE", _ONE, revoke_token, _TAG, HTTPStatus.NO_CONTENT, needs=_ADMIN, problems=_ABSENT
    ),
    Route(
        "POST",
        _ONE + "/regenerate",
        regenerate_token,
        _TAG,
        answer=NewTokenAnswer,
        needs=_ADMIN,
        problems=_CHANGED,
    ),
    Route(
        "POST",
        _ONE + "/rotate-signing-secret",
        rotate_signing_secret,
        _TAG,
        answer=_SECRET,
        needs=_ADMIN,
        problems=_CHANGED,
    ),
    Route(
        "GET",
        _ONE + "/signing-secret",
        show_signing_secret,
        _TAG,
        answer=_SECRET,
        needs=_ADMIN,
        problems=frozenset({404, 409}),
    ),
)
