"""Models of an event's `data`, one per event type (`docs/backends.md`).

Unknown fields are accepted, and so are unknown values of `kind`, `content.type` and `status`,
because the platform adds values to them. Other sets of values are closed. The models are only read,
never written back. `schemas.json_schema` generates the published documents from them.
"""

from typing import Annotated, Any, Literal, TypeAlias, Union

import msgspec

from schemas.events.status_order import ranked
from schemas.events.types import EventType

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
"""An id of the chat platform."""

Count = Annotated[int, msgspec.Meta(ge=0)]
"""A number of things, at least 0."""


class Channel(msgspec.Struct):
    """A managed number, page or mailbox. Its id decides which tokens see the event."""

    id: Id
    kind: Annotated[
        str,
        msgspec.Meta(
            examples=["whatsapp", "messenger", "instagram", "telegram", "sms", "email", "webchat"]
        ),
    ]
    address: str | None = None
    provider: str | None = None


class Identity(msgspec.Struct):
    """One way to recognize a customer, such as a phone number."""

    kind: str
    value: str


class Customer(msgspec.Struct):
    """A customer, identified by `id`: a phone number may be absent."""

    id: Id
    external_id: str | None = None
    display_name: str | None = None
    identities: list[Identity] | None = None
    locale: str | None = None


class Conversation(msgspec.Struct):
    """A thread between a customer and the platform."""

    id: Id
    status: (
        Annotated[str, msgspec.Meta(examples=["queued", "open", "pending", "closed"])] | None
    ) = None
    origin: Literal["customer", "agent", "campaign", "api", "bot"] | None = None
    created_at: str | None = None
    queue: Any = None
    assignee: Any = None
    metadata: dict[str, Any] | None = None


class ConversationCreated(msgspec.Struct):
    """A conversation was created."""

    conversation: Conversation
    channel: Channel
    customer: Customer


class Content(msgspec.Struct):
    """The content of a message, of an unknown type or of one without required fields."""

    type: Annotated[str, msgspec.Meta(min_length=1)]


class TextContent(Content):
    """Content of the type `text`."""

    text: str


class Media(msgspec.Struct):
    """A file, which the receiver downloads itself."""

    url: Annotated[str, msgspec.Meta(min_length=1)]
    mime_type: str | None = None
    size_bytes: Count | None = None
    sha256: str | None = None
    filename: str | None = None


class MediaContent(Content):
    """Content of the type `image`, `video`, `audio`, `document` or `sticker`."""

    media: Media
    caption: str | None = None


class LocationContent(Content):
    """Content of the type `location`, in degrees (WGS 84)."""

    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    name: str | None = None
    address: str | None = None


CONTENT_MODELS: dict[str, type[Content]] = {
    "text": TextContent,
    **dict.fromkeys(("image", "video", "audio", "document", "sticker"), MediaContent),
    "location": LocationContent,
    **dict.fromkeys(
        ("contacts", "interactive", "reaction", "order", "system", "unsupported"), Content
    ),
}


def known_content() -> Any:  # a type that is built here, which no annotation can express
    """Return one type for all known contents, so that a decoder reads content in one pass. It
    refuses unknown content types.
    """
    tagged = []
    for name, model in CONTENT_MODELS.items():
        fields = [field for field in msgspec.structs.fields(model) if field.name != "type"]
        members = [
            (field.name, field.type) if field.required else (field.name, field.type, field.default)
            for field in fields
        ]
        tagged.append(msgspec.defstruct(model.__name__, members, tag=name))
    return Union[tuple(tagged)]  # noqa: UP007 - the types are built here: they have no names


class Context(msgspec.Struct):
    """What a message refers to."""

    reply_to: str | None = None
    forwarded: bool | None = None


class Message(msgspec.Struct):
    """A message that a customer wrote."""

    id: Id
    conversation_id: Id
    content: msgspec.Raw
    provider_message_id: str | None = None
    provider_timestamp: str | None = None
    received_at: str | None = None
    context: Context | None = None


class MessageReceived(msgspec.Struct):
    """A message was received."""

    message: Message
    channel: Channel
    customer: Customer


class MessageReference(msgspec.Struct):
    """A message that was sent to a customer."""

    id: Id
    conversation_id: Id
    provider_message_id: str | None = None
    client_reference: str | None = None


Status = Annotated[
    str,
    msgspec.Meta(
        description="Other values may come. Ringback knows no order of those, and sends them in "
        "the order of acceptance.",
        examples=["queued", "sent", "failed", "delivered", "read"],
    ),
]


class StatusError(msgspec.Struct):
    """Why a message failed, in the provider's words."""

    code: str | int | None = None
    title: str | None = None
    detail: str | None = None


class MessageStatus(msgspec.Struct):
    """The status of a sent message changed."""

    message: MessageReference
    status: Status
    channel: Channel
    previous_status: Status | None = None
    provider_timestamp: str | None = None
    error: StatusError | None = None
    customer: Customer | None = None


DataModel: TypeAlias = ConversationCreated | MessageReceived | MessageStatus

DATA_MODELS: dict[EventType, type[DataModel]] = {
    EventType.CONVERSATION_CREATED: ConversationCreated,
    EventType.MESSAGE_RECEIVED: MessageReceived,
    EventType.MESSAGE_STATUS: MessageStatus,
}


class Facts(msgspec.Struct, frozen=True):
    """The values in an event's data that decide how it is delivered."""

    channel_id: str
    """The channel, which decides which tokens see the event."""

    conversation_id: str
    """The conversation, within which deliveries keep their order."""

    message_id: str | None
    """The message; None for `conversation.created`."""

    status: str | None
    """The status of a `message.status`, if it has a rank; None otherwise."""


def facts_of(data: DataModel) -> Facts:
    """Return the facts of data that a model has checked."""
    if isinstance(data, ConversationCreated):
        return Facts(data.channel.id, data.conversation.id, None, None)
    message = data.message
    return Facts(
        data.channel.id,
        message.conversation_id,
        message.id,
        ranked(data.status) if isinstance(data, MessageStatus) else None,
    )


def facts_in(event_type: str, data: Any) -> Facts:  # JSON of any shape
    """Return the facts of data as it was read from JSON. Raises LookupError and TypeError for data
    that no event has.
    """
    channel_id = data["channel"]["id"]
    if event_type == EventType.CONVERSATION_CREATED:
        return Facts(channel_id, data["conversation"]["id"], None, None)
    message = data["message"]
    status = ranked(data["status"]) if event_type == EventType.MESSAGE_STATUS else None
    return Facts(channel_id, message["conversation_id"], message["id"], status)
