"""The order of a message's statuses (docs/invariants.md#statuses-never-go-backwards): what a
callback sees of one message never goes backwards.

One that is not among these has no rank: its event is sent like any other, in the order of
acceptance, whatever else was sent or waits. Pure. Used by the store, which gives out the right to
send one.
"""

_ORDER = ("queued", "sent", "failed", "delivered", "read")
_RANKS = {status: place for place, status in enumerate(_ORDER, start=1)}

NO_RANK = 0
"""Below every status: of a message of which nothing was sent yet."""

OVERTAKEN = "a newer status of its message took its place"
"""The reason of a delivery that is `superseded`."""


def ranked(status: str) -> str | None:
    """The status itself, if it has a rank."""
    return status if status in _RANKS else None


def rank(status: str) -> int:
    """From 1 for `queued` to 5 for `read`."""
    return _RANKS[status]
