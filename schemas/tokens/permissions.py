"""Permissions of tokens, with the labels that administrators know."""

from enum import StrEnum


class Permission(StrEnum):
    """What a token may do. The first eleven are for the chat platform's own API, the last three for
    Ringback.
    """

    CONVERSATIONS_READ = "conversations:read"
    LOCATIONS_READ = "locations:read"
    DATA_EXPORT = "data:export"
    MESSAGES_SEND = "messages:send"
    CUSTOMERS_READ = "customers:read"
    LOCATIONS_WRITE = "locations:write"
    TEMPLATES_READ = "templates:read"
    TEMPLATES_SEND = "templates:send"
    CUSTOMERS_WRITE = "customers:write"
    STATS_READ = "stats:read"
    CONVERSATIONS_STATUS = "conversations:status"
    EVENTS_PUBLISH = "events:publish"
    TOKENS_INTROSPECT = "tokens:introspect"
    PLATFORM_ADMIN = "platform:admin"

    @property
    def label(self) -> str:
        """The permission's name for administrators."""
        return _LABELS[self]


_LABELS = {
    Permission.CONVERSATIONS_READ: "Read conversations",
    Permission.LOCATIONS_READ: "Read locations",
    Permission.DATA_EXPORT: "Data export",
    Permission.MESSAGES_SEND: "Send chat messages",
    Permission.CUSTOMERS_READ: "Read customers",
    Permission.LOCATIONS_WRITE: "Write locations",
    Permission.TEMPLATES_READ: "Read template messages",
    Permission.TEMPLATES_SEND: "Send template messages",
    Permission.CUSTOMERS_WRITE: "Write customers",
    Permission.STATS_READ: "Stats",
    Permission.CONVERSATIONS_STATUS: "Set conversation status",
    Permission.EVENTS_PUBLISH: "Publish events",
    Permission.TOKENS_INTROSPECT: "Check tokens",
    Permission.PLATFORM_ADMIN: "Administer Ringback",
}
