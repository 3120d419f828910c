"""The three kinds of event, and what administrators call them."""

from enum import StrEnum


class EventType(StrEnum):
    """A closed set: adding a member means a model in `event_data`, a sample in `samples` and a
    column on the pages.
    """

    CONVERSATION_CREATED = "conversation.created"
    MESSAGE_RECEIVED = "message.received"
    MESSAGE_STATUS = "message.status"

    @property
    def label(self) -> str:
        return _LABELS[self]


_LABELS = {
    EventType.CONVERSATION_CREATED: "New Conversation",
    EventType.MESSAGE_RECEIVED: "New Message",
    EventType.MESSAGE_STATUS: "Message reports",
}
