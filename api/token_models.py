"""The bodies of the API's responses about tokens: tokens, callbacks, changes, introspection.
`serializers` builds them, as those in `response_models`.
"""

from typing import Any

import msgspec

from schemas.events.types import EventType
from schemas.ids import ChangeId, RequestId, TokenId
from schemas.tokens.audit_log import Action
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import CallbackState, OnResume, TokenState


class VisibilityAnswer(msgspec.Struct):
    """The channels whose data a token may see. null means all, an empty list none."""

    channels: list[str] | None


class CallbackAnswer(msgspec.Struct):
    """A callback. Only the names of its headers are shown, never their values.

    `failing_since`: the time since when nothing has succeeded. Meanwhile only one delivery at a
    time is sent, as a probe.

    `throttled_until`: the receiver asked for no automatic attempts before this time. null: the
    callback is not throttled.

    `held`: what happens to held deliveries when the callback is enabled again.
    """

    url: str
    enabled: bool
    state: CallbackState
    failing_since: str | None
    throttled_until: str | None
    disabled_at: str | None
    disabled_reason: str | None
    held: OnResume
    header_names: list[str]


class TokenAnswer(msgspec.Struct):
    """A token, without its secrets."""

    id: TokenId
    name: str
    state: TokenState
    token_hint: str
    activates_at: str
    expires_at: str | None
    enabled: bool
    permissions: list[Permission]
    visibility: VisibilityAnswer
    contact: str | None
    callbacks: dict[EventType, CallbackAnswer | None]
    created_at: str
    last_used_at: str | None


class NewTokenAnswer(TokenAnswer, kw_only=True):
    """A token and its secrets. `token` is shown only once. `signing_secret` is present only for a
    new token.
    """

    token: str
    signing_secret: str | msgspec.UnsetType = msgspec.UNSET


class SigningSecretAnswer(msgspec.Struct):
    """The current signing secret."""

    signing_secret: str


class ChangeAnswer(msgspec.Struct):
    """A change of a token, or of its callback for an event type (`type`).

    `by`: the id of the token that made the change (`by_name` is its name), `user:` and the e-mail
    address of a person who signed in (`by_name` is the address), `command line`, or `ringback`.

    `details`: for each changed field its value before and after. If only the values of headers
    changed, both lists of `header_names` are the same. `previous_until`: the time until which the
    previous secret is valid, too.
    """

    id: ChangeId
    at: str
    action: Action
    type: EventType | None
    by: str
    by_name: str | None
    address: str | None
    details: dict[str, tuple[Any, Any]]  # any JSON value: msgspec has no schema for `object`


class IntrospectionAnswer(msgspec.Struct):
    """Whether a token is valid now. An inactive token's response has no other field, whatever the
    reason.

    `scope`: its permissions, separated by spaces. `client_id` and `sub`: its id. `username`: its
    name. `channels`: the channels whose data it may see; null: all, an empty list: none.

    `iat`, `nbf` and `exp` are unix seconds: created, valid from, valid until. Without `exp` the
    token does not expire.

    `allowed`: whether it has the permission that was asked about; true if none was. `request_id`:
    names the request when its result is reported.
    """

    active: bool
    scope: str | msgspec.UnsetType = msgspec.UNSET
    client_id: TokenId | msgspec.UnsetType = msgspec.UNSET
    sub: TokenId | msgspec.UnsetType = msgspec.UNSET
    username: str | msgspec.UnsetType = msgspec.UNSET
    channels: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    iat: int | msgspec.UnsetType = msgspec.UNSET
    nbf: int | msgspec.UnsetType = msgspec.UNSET
    exp: int | msgspec.UnsetType = msgspec.UNSET
    allowed: bool | msgspec.UnsetType = msgspec.UNSET
    request_id: RequestId | msgspec.UnsetType = msgspec.UNSET
