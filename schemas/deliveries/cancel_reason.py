"""Reasons for cancelling deliveries: the only list of them, as they are stored and shown. Pure."""

from enum import StrEnum


class CancelReason(StrEnum):
    """The `reason` of a `cancelled` delivery. Lists and the export show the text itself."""

    CALLBACK_DELETED = "the callback was deleted"
    TOKEN_REVOKED = "the token was revoked"
    TOKEN_EXPIRED = "the token has expired"
    CHANNEL_REMOVED = "the token may no longer see this channel"
    DISCARDED = "discarded"
    NO_DISPATCHER = "no dispatcher took the test"
