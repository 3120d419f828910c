"""The bodies of requests other than events, as pydantic models. `parsing` reads requests with them.

Unknown fields and parameters are refused, so that a typo is not ignored. Optional fields may be
null.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.deliveries.deliveries import Outcome
from schemas.deliveries.recoveries import MAX_DELIVERIES, Recoverable
from schemas.events.types import EventType
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import OnResume
from web.models.fields import (
    Email,
    Headers,
    Name,
    Overlap,
    ReportedStatus,
    Text,
    Time,
    Url,
    Whole,
    overlap_field,
    unless_null,
)


class Body(BaseModel):
    """The base of all JSON bodies. Values are read strictly: `"yes"` is no boolean and 1 no string.

    `log_texts` names fields that third parties wrote and that only a log shows. In these, invalid
    characters are escaped and never refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    log_texts: ClassVar[frozenset[str]] = frozenset()


class Visibility(Body):
    """Whose data a token may see. `channels` is required: any default would be a guess, and a wrong
    guess shows everything.
    """

    channels: list[str] | None = Field(
        description="Ids of the channels whose data the token may see. null: all; []: none."
    )


class PutCallback(Body):
    """A callback. What is left out or null stays unchanged; a new callback is enabled, and has no
    headers of its own.
    """

    url: Url = Field(description="Where Ringback sends the events of this type.")
    enabled: bool | None = Field(
        None, description="false: nothing is sent, and deliveries are held."
    )
    headers: Headers | None = Field(
        None,
        description="Added to every webhook; their values are never shown again. {} removes all.",
    )
    held: OnResume | None = Field(
        None,
        description="What happens to held deliveries when the callback is enabled again, or its"
        " token resumed: they are sent (`release`, the default), stay held until they are released"
        " or recovered (`keep`), or are cancelled (`discard`, once only).",
    )


class CreateToken(Body):
    """A new token. Only its name is required."""

    name: Name
    activates_at: Time | None = Field(None, description="Valid from this time on. null: now.")
    expires_at: Time | None = Field(
        None, description="No longer valid from this time on. null: it never expires."
    )
    enabled: bool | None = None
    permissions: list[Permission] | None = None
    visibility: Visibility | None = Field(None, description="null or left out: all channels.")
    contact: Email | None = Field(
        None, description="E-mail address for what concerns the token. null: none."
    )
    callbacks: dict[EventType, PutCallback | None] | None = Field(
        None, description="The callbacks, by event type."
    )


class PatchToken(Body):
    """Changes of a token. What is left out or null stays unchanged, except for `expires_at` and
    `contact`: null means that the token never expires, or has no contact.
    """

    name: Name | None = None
    activates_at: Time | None = None
    expires_at: Time | None = None
    enabled: bool | None = Field(None, description="false suspends the token, true resumes it.")
    permissions: list[Permission] | None = None
    visibility: Visibility | None = None
    contact: Email | None = None


class Regenerate(Body):
    """How a token is replaced."""

    overlap: Annotated[Overlap, unless_null("0s")] = overlap_field(
        "0s", "How long the previous token stays valid, at most 7d."
    )


class RotateSigningSecret(Body):
    """How a signing secret is replaced."""

    overlap: Annotated[Overlap, unless_null("24h")] = overlap_field(
        "24h", "How long webhooks are signed with the previous secret, too; at most 7d."
    )


class Nothing(Body):
    """An empty object. The body may be left out."""


class CreateRecovery(Body):
    """Which undelivered events to send again: those that fit everything that is given."""

    token: Text | None = Field(
        None, description="The id of a token. null or left out: every token."
    )
    type: EventType | None = Field(None, description="null or left out: every type.")
    since: Time | None = Field(
        None,
        description="Deliveries that were created at this time or later; missing ones by when"
        " their event was accepted. Required without `deliveries`.",
    )
    until: Time | None = Field(
        None, description="Deliveries that were created before. null or left out: until now."
    )
    states: list[Recoverable] | None = Field(
        None,
        min_length=1,
        description="null or left out: exhausted deliveries only, or those in `deliveries`"
        " whichever of these states they are in.",
    )
    status_code: Annotated[Whole, Field(ge=100, le=599)] | None = Field(
        None, description="The status of the last attempt's response. Not for missing deliveries."
    )
    error: Outcome | None = Field(
        None, description="The outcome of the last attempt. Not for missing deliveries."
    )
    deliveries: list[Text] | None = Field(
        None,
        min_length=1,
        max_length=MAX_DELIVERIES,
        description="The ids of deliveries. null or left out: all.",
    )
    dry_run: bool | None = Field(
        None, description="true: count what there is to send again, and send nothing."
    )


class CheckToken(BaseModel):
    """The form of an introspection. The fields `method` to `user_agent` are for the request log:
    they come from the caller's own client, and no value of theirs is refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty_fields(cls, fields: Mapping[str, str]) -> Mapping[str, str]:
        """Drop empty fields, which count as absent (RFC 6749, section 3.1). An empty permission is
        kept, and refused: it was lost on its way, and without one every token is allowed.
        """
        return {name: text for name, text in fields.items() if text or name == "permission"}

    token: str = Field(min_length=1, description="The token to check, as it was received.")
    token_type_hint: str | None = Field(None, description="Ignored: there is one type of token.")
    client_id: str | None = Field(None, description="Ignored.")
    client_secret: str | None = Field(
        None, description="Your own token, unless an `Authorization` header carries it."
    )
    permission: Permission | None = Field(
        None, description="What the request needs: `allowed` says whether the token has it."
    )
    method: str | None = Field(None, description="The method of the request with the token.")
    path: str | None = Field(None, description="The path of the request; a query is cut off.")
    status: ReportedStatus = Field(
        None,
        description="The status of the request's response, 100 to 599. Anything else counts as"
        " unknown.",
    )
    ip: str | None = Field(None, description="The address that the request came from.")
    user_agent: str | None = None
