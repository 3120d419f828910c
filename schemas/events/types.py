"""The three event types, and their names for administrators."""

from enum import StrEnum


class EventType(StrEnum):
    """The type of an event."""

    # A new member needs a model in `data`, a sample in `samples` and a column on the pages.

    CONVERSATION_CREATED = "conversation.created"
    MESSAGE_RECEIVED = "message.received"
    MESSAGE_STATUS = "message.status"

    @property
    def label(self) -> str:
        """The event type's name for administrators."""
        return _LABELS[self]


_LABELS = {
    EventType.CONVERSATION_CREATED: "New Conversation",
    EventType.MESSAGE_RECEIVED: "New Message",
    EventType.MESSAGE_STATUS: "Message reports",
}
