"""The audit log's values: who changed what about a token, when, and from where.

Holds no secrets: only the hint of a token, and the names of a callback's headers. Fields have their
names in the API. Called by the store's token modules; read by the API and the command line.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from schemas.events.types import EventType
from schemas.ids import ChangeId
from schemas.times import UnixMs, to_rfc3339, to_rfc3339_or_none
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
    FAILURE_ACKNOWLEDGED = "failure_acknowledged"
    SUPPLIER_LINK_MADE = "supplier_link_made"
    SUPPLIER_LINKS_ENDED = "supplier_links_ended"


_PERSON = "user:"


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a change: a token, a person, `COMMAND_LINE` or `RINGBACK`."""

    by: str
    """The token's id, `user:` and a person's e-mail address, or the name of one of the others."""

    address: str | None = None
    """The IP address of the request; None: there was no request."""

    @classmethod
    def person(cls, email: str, address: str | None) -> "Actor":
        """Return a person who signed in to the pages as the author."""
        return cls(_PERSON + email, address)

    @property
    def email(self) -> str | None:
        """The e-mail address of the person; None: the author is no person."""
        return self.by.removeprefix(_PERSON) if self.by.startswith(_PERSON) else None


COMMAND_LINE = Actor("command line")
RINGBACK = Actor("ringback")


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the audit log."""

    id: ChangeId
    """The public id."""

    at: UnixMs
    """When the change was made."""

    action: Action
    """What was done."""

    type: EventType | None
    """The event type of the changed callback; None: the token itself was changed."""

    actor: Actor
    """Who made the change."""

    by_name: str | None
    """The name of the token, or the e-mail address of the person, that made the change; None:
    neither did.
    """

    details: Details
    """The values before and after the change by field, as JSON values."""


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> Details:
    """Return the fields that differ, with both values. A missing field counts as null."""
    return {
        name: (before.get(name), after.get(name))
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    }


def edits(before: TokenFields, after: TokenFields) -> Iterator[tuple[Action, Details]]:
    """Return the actions of an edit of a token's fields. Suspending and resuming are actions of
    their own.
    """
    details = dict(differences(of_fields(before), of_fields(after)))
    if switched := details.pop("enabled", None):
        yield (Action.RESUMED if after.enabled else Action.SUSPENDED), {"enabled": switched}
    if details:
        yield Action.CHANGED, details


def of_fields(fields: TokenFields) -> dict[str, object]:
    """Return a token's fields as the audit log compares them."""
    return {
        "name": fields.name,
        "activates_at": to_rfc3339(fields.activates_at),
        "expires_at": to_rfc3339_or_none(fields.expires_at),
        "enabled": fields.enabled,
        "permissions": sorted(fields.permissions),
        "visibility": {"channels": None if fields.channels is None else sorted(fields.channels)},
        "contact": fields.contact,
    }


def of_secret(token: Token) -> dict[str, object]:
    """Return the details of a new secret, with the end of the previous one."""
    return {"token_hint": token.hint, "previous_until": _previous_until(token.hashes)}


def of_signing_secret(token: Token) -> dict[str, object]:
    """Return the details of a new signing secret, with the end of the previous one."""
    return {"previous_until": _previous_until(token.signing_keys)}


def of_callback(callback: Callback | None) -> dict[str, object]:
    """Return a callback's fields as the audit log compares them; empty without a callback."""
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
    return to_rfc3339_or_none(secrets[-2].until) if len(secrets) > 1 else None
