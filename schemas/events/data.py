"""What an event's `data` must hold (contract section 5), one model per type.

Unknown fields pass; unknown values of `kind`, `content.type` and `status` pass, as the platform's
words grow; the other closed sets are closed. The models are only read, never written back.
`json_schema` turns them into the published documents.
"""

from typing import Annotated, Any, Literal, TypeAlias, Union

import msgspec

from schemas.events.status_order import ranked
from schemas.events.types import EventType

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Channel(msgspec.Struct):
    """A managed number, page or mailbox: visibility is decided by its id."""

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
    """One way to recognise a customer, such as a phone number."""

    kind: str
    value: str


class Customer(msgspec.Struct):
    """Keyed by `id`, never by phone number: that one can be absent."""

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
    """Of a type that this version does not know, or that has no required fields."""

    type: Annotated[str, msgspec.Meta(min_length=1)]


class TextContent(Content):
    """`text`."""

    text: str


class Media(msgspec.Struct):
    """A file that the receiver fetches for itself."""

    url: Annotated[str, msgspec.Meta(min_length=1)]
    mime_type: str | None = None
    size_bytes: Count | None = None
    sha256: str | None = None
    filename: str | None = None


class MediaContent(Content):
    """`image`, `video`, `audio`, `document` or `sticker`."""

    media: Media
    caption: str | None = None


class LocationContent(Content):
    """`location`: degrees, WGS 84."""

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


def known_content() -> Any:
    """All of these as one type, which a decoder reads at once; what is of no known type it refuses.
    """
    tagged = []
    for name, model in CONTENT_MODELS.items():
        fields = [one for one in msgspec.structs.fields(model) if one.name != "type"]
        members = [
            (one.name, one.type) if one.required else (one.name, one.type, one.default)
            for one in fields
        ]
        tagged.append(msgspec.defstruct(model.__name__, members, tag=name))
    return Union[tuple(tagged)]  # noqa: UP007 - they are made here: there is nothing to write between bars


class Context(msgspec.Struct):
    """What a message refers to."""

    reply_to: str | None = None
    forwarded: bool | None = None


class ChatMessage(msgspec.Struct):
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

    message: ChatMessage
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
        description="Others may come: of these Ringback knows no order, and passes them on as they come.",
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
    """What the pipeline itself needs to know of an event's data. `status` is one that has a rank,
    or None.
    """

    channel_id: str
    conversation_id: str
    message_id: str | None
    status: str | None


def facts_of(data: DataModel) -> Facts:
    if isinstance(data, ConversationCreated):
        return Facts(data.channel.id, data.conversation.id, None, None)
    message = data.message
    return Facts(
        data.channel.id,
        message.conversation_id,
        message.id,
        ranked(data.status) if isinstance(data, MessageStatus) else None,
    )
