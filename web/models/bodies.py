"""What requests may carry beside events, as pydantic models. `parsing` reads requests by them.

Unknown fields and parameters are refused: a typo must not be swallowed. Optional fields may be
null.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.deliveries.recoveries import Recoverable
from schemas.events.types import EventType
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import OnResume
from web.models.fields import (
    Headers,
    Name,
    Overlap,
    Text,
    Time,
    ToldStatus,
    Url,
    overlap_field,
    unless_null,
)

KINDS = COMPLETION, WHOLE = "[completion]", "[whole]"


class Body(BaseModel):
    """Strict: `"yes"` is no boolean and 1 no string. `log_texts` are names of fields that others
    wrote and only a log shows: what is no character there is spelled out, and nothing is refused
    for it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    log_texts: ClassVar[frozenset[str]] = frozenset()


class Visibility(Body):
    """What is left out would be a guess, and the wrong one shows everything."""

    channels: list[str] | None = Field(
        description="Ids of the channels whose data the token may see. null: all; []: none."
    )


class PutCallback(Body):
    """What is left out or null stays as it is; a new callback is on, and has no headers of its own.
    """

    url: Url = Field(description="Where Ringback sends the events of this type.")
    enabled: bool | None = Field(None, description="Off: nothing is sent, deliveries are held.")
    headers: Headers | None = Field(
        None, description="Sent along with every webhook; never shown again. {} removes them all."
    )
    held: OnResume | None = Field(
        None,
        description="What becomes of held deliveries when the callback, or its suspended token, comes back: they are sent (`release`, "
        "at first), stay held until they are released or recovered (`keep`), or are cancelled (`discard`, for one time).",
    )


class CreateToken(Body):
    name: Name
    activates_at: Time | None = Field(
        None, description="Valid from this moment on. null: from now on."
    )
    expires_at: Time | None = Field(
        None, description="Not valid from this moment on. null: never expires."
    )
    enabled: bool | None = None
    permissions: list[Permission] | None = None
    visibility: Visibility | None = Field(None, description="null or left out: all channels.")
    callbacks: dict[EventType, PutCallback | None] | None = Field(
        None, description="By event type."
    )


class PatchToken(Body):
    """What is left out stays as it is; so does what is null, but for `expires_at`: null is never.
    """

    name: Name | None = None
    activates_at: Time | None = None
    expires_at: Time | None = None
    enabled: bool | None = Field(None, description="false suspends the token, true brings it back.")
    permissions: list[Permission] | None = None
    visibility: Visibility | None = None


class Regenerate(Body):
    overlap: Annotated[Overlap, unless_null("0s")] = overlap_field(
        "0s", "How long the token before goes on being valid, at most 7d."
    )


class RotateSigningSecret(Body):
    overlap: Annotated[Overlap, unless_null("24h")] = overlap_field(
        "24h", "How long the secret before signs too, at most 7d."
    )


class Nothing(Body):
    """There is nothing to say."""


class CreateRecovery(Body):
    token: Text | None = Field(
        None, description="Of this token only, by id. null or left out: of every token."
    )
    type: EventType | None = Field(None, description="null or left out: every type.")
    since: Time = Field(description="What was made then or later; of what is missing: accepted.")
    until: Time | None = Field(
        None, description="What was made before. null or left out: until now."
    )
    states: list[Recoverable] | None = Field(
        None, min_length=1, description="null or left out: those that are exhausted."
    )


class CheckToken(BaseModel):
    """A form. What the caller's own client wrote (`method` to `user_agent`) is for the request log,
    and refuses nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty_fields(cls, fields: Mapping[str, str]) -> Mapping[str, str]:
        """They are none (RFC 6749, section 3.1). But an empty permission is one that got lost:
        without any, everything is allowed.
        """
        return {name: text for name, text in fields.items() if text or name == "permission"}

    token: str = Field(min_length=1, description="The token to check, as it came.")
    token_type_hint: str | None = Field(None, description="Not looked at: there is one type.")
    client_id: str | None = Field(None, description="Not looked at.")
    client_secret: str | None = Field(
        None, description="Your own token, unless an `Authorization` header carries it."
    )
    permission: Permission | None = Field(
        None, description="What the request needs: `allowed` says whether the token has it."
    )
    method: str | None = Field(None, description="Of the request that carried the token.")
    path: str | None = Field(None, description="Its path; a query is cut off.")
    status: ToldStatus = Field(
        None, description="What it is answered, 100 to 599; anything else counts as not known."
    )
    ip: str | None = Field(None, description="Where it came from.")
    user_agent: str | None = None
