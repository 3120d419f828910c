"""The operation log's shapes: who changed what on a token, when, and from where. Without secrets."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from schemas.ids import TokenId
from schemas.times import UnixMs

Before = object
After = object


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
    CALLBACK_DELETED = "callback_deleted"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a token by its id, or `COMMAND_LINE`. `address` is where the request came from."""

    by: str
    address: str | None = None


COMMAND_LINE = Actor("command line")


@dataclass(frozen=True, slots=True)
class Change:
    """One row. `details` holds, by field in the API's spelling, what it was and what it became, as JSON values."""

    id: int
    token_id: TokenId
    at: UnixMs
    action: Action
    actor: Actor
    details: Mapping[str, tuple[Before, After]]
