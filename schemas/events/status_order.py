"""The order of a message's statuses, in which a callback receives them
(docs/invariants.md#statuses-never-go-backwards).

A status that is not in the list has no rank: its event is sent like any other, in the order of
acceptance, whatever was sent or waits. Pure. Used by the store, which grants the status locks.
"""

_ORDER = ("queued", "sent", "failed", "delivered", "read")
_RANKS = {status: rank for rank, status in enumerate(_ORDER, start=1)}

NO_RANK = 0
"""The rank of a message before its first status was sent, below every status."""

OVERTAKEN = "a newer status of its message took its place"
"""The reason shown for a `superseded` delivery."""


def ranked(status: str) -> str | None:
    """Return the status itself if it has a rank, else None."""
    return status if status in _RANKS else None


def rank(status: str) -> int:
    """Return the rank of a status, from 1 for `queued` to 5 for `read`."""
    return _RANKS[status]
