"""The request log's shapes: what is remembered of a request that was made with a token, here or at the chat platform's own API.

Never a header's value, a query or a body: those can hold secrets and other people's data.
"""

import msgspec

from schemas.ids import RequestId, TokenId
from schemas.permissions import Permission
from schemas.times import UnixMs

MAX_PATH, MAX_USER_AGENT, MAX_METHOD, MAX_ADDRESS, MAX_REASON = 1024, 512, 32, 64, 256
"""Characters that are kept. More: a client that sends long ones fills the log."""


def kept(text: str, most: int) -> str:
    """What others wrote, as the log keeps it: cut, and each character that a database refuses (NUL, half of a surrogate pair) or
    that would do something to a terminal replaced."""
    text = text[:most]
    return text if text.isprintable() else "".join(character if character.isprintable() else "\ufffd" for character in text)


def kept_path(path: str) -> str:
    """Without a query, also one that was escaped into it."""
    return kept(path.partition("?")[0], MAX_PATH)


class LoggedRequest(msgspec.Struct, frozen=True):
    """One row. `id` is ours, `request_id` the `X-Request-Id` of the answer; for a request that was only introspected they are one.

    `status` and `duration_ms` are None until they are reported. `permission` is what the request asked for; `reason` says why it
    was not allowed.
    """

    id: RequestId
    at: UnixMs
    token_id: TokenId
    request_id: str
    method: str | None
    path: str | None
    status: int | None
    duration_ms: int | None
    address: str | None
    user_agent: str | None
    permission: Permission | None
    allowed: bool
    reason: str | None = None


class Completion(msgspec.Struct, frozen=True):
    """What became of a request that was introspected. It may come before the row that it completes."""

    id: RequestId
    at: UnixMs
    status: int
    duration_ms: int | None
