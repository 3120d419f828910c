"""The operation log's shapes: who changed what on a token, when, and from where.

Without secrets: of a token its hint, of a callback's headers their names. `differences` and what it
compares spell fields as the API does. Called by the store's token modules; read by the API and the
command line.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from schemas.events.types import EventType
from schemas.ids import ChangeId
from schemas.times import UnixMs, to_rfc3339
from schemas.tokens.fields import TokenFields
from schemas.tokens.tokens import Callback, DatedSecret, Token

Before = object
After = object
Details = Mapping[str, tuple[Before, After]]


class Action(StrEnum):
    """What was done to a token."""

    CREATED = "created"
    CHANGED = "changed"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    REGENERATED = "regenerated"
    REVOKED = "revoked"
    SIGNING_SECRET_ROTATED = "signing_secret_rotated"
    SIGNING_SECRET_SHOWN = "signing_secret_shown"
    CALLBACK_SET = "callback_set"
    CALLBACK_DISABLED = "callback_disabled"
    CALLBACK_DELETED = "callback_deleted"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a token by its id, `COMMAND_LINE` or `RINGBACK`. `address` is where the
    request came from.
    """

    by: str
    address: str | None = None


COMMAND_LINE = Actor("command line")
RINGBACK = Actor("ringback")


@dataclass(frozen=True, slots=True)
class Change:
    """One row. `details` holds, by field in the API's spelling, what it was and what it became, as
    JSON values. `type` is that of the callback which was changed, None for the token itself;
    `by_name` the name of the token that did it, None for who is none.
    """

    id: ChangeId
    at: UnixMs
    action: Action
    type: EventType | None
    actor: Actor
    by_name: str | None
    details: Details


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> Details:
    """What is not the same in both. A field that is not there is null."""
    return {
        name: (before.get(name), after.get(name))
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    }


def edits(before: TokenFields, after: TokenFields) -> Iterator[tuple[Action, Details]]:
    """What somebody did who set the fields of a token like this; suspending and resuming are told
    from the rest.
    """
    details = dict(differences(of_fields(before), of_fields(after)))
    if switched := details.pop("enabled", None):
        yield (Action.RESUMED if after.enabled else Action.SUSPENDED), {"enabled": switched}
    if details:
        yield Action.CHANGED, details


def of_fields(fields: TokenFields) -> dict[str, object]:
    return {
        "name": fields.name,
        "activates_at": to_rfc3339(fields.activates_at),
        "expires_at": _time(fields.expires_at),
        "enabled": fields.enabled,
        "permissions": sorted(fields.permissions),
        "visibility": {"channels": None if fields.channels is None else sorted(fields.channels)},
    }


def of_secret(token: Token) -> dict[str, object]:
    """`previous_until`: until when the secret before it authenticates too."""
    return {"token_hint": token.hint, "previous_until": _previous_until(token.hashes)}


def of_signing_secret(token: Token) -> dict[str, object]:
    """`previous_until`: until when the secret before it signs too."""
    return {"previous_until": _previous_until(token.signing_keys)}


def of_callback(callback: Callback | None) -> dict[str, object]:
    """Empty for none."""
    if callback is None:
        return {}
    return {
        "url": callback.url,
        "enabled": callback.enabled,
        "state": callback.state,
        "held": callback.on_resume,
        "header_names": sorted(callback.headers),
    }


def _previous_until(secrets: Sequence[DatedSecret]) -> str | None:
    return _time(secrets[-2].until) if len(secrets) > 1 else None


def _time(at: UnixMs | None) -> str | None:
    return None if at is None else to_rfc3339(at)
