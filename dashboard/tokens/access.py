"""The forms with a token's permissions and channels. Pure."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dashboard.tokens.sent import Sent
from schemas.tokens.permissions import Permission

ALL, SOME = "all", "some"
"""What a token sees, as the form's two choices: every channel, or those that are ticked."""

RINGBACKS_OWN = (
    Permission.EVENTS_PUBLISH,
    Permission.TOKENS_INTROSPECT,
    Permission.PLATFORM_ADMIN,
)
PLATFORMS = tuple(permission for permission in Permission if permission not in RINGBACKS_OWN)
"""The eleven that administrators know from the chat platform, in its order."""

MAX_LISTED = 100
"""Channels with a box of their own. More: the page grows beyond what people look through. Fewer:
more channels are changed by typing their ids.
"""


class Seen(NamedTuple):
    """What is chosen in the form of channels."""

    sees: str = ""
    """ALL or SOME; empty: nothing was chosen."""
    ticked: frozenset[str] = frozenset()
    """The channels whose box is ticked."""
    listed: frozenset[str] = frozenset()
    """The channels that had a box. Others that a token sees stay as they are."""
    more: str = ""
    """Ids of further channels, one a line."""

    @classmethod
    def of(cls, channels: frozenset[str] | None) -> "Seen":
        """Return what the form shows of a token."""
        return cls(ALL) if channels is None else cls(SOME, channels)

    @classmethod
    def typed(cls, form: Sent) -> "Seen":
        """Return what was chosen."""
        return cls(
            form.get("sees", ""),
            frozenset(form.getlist("channel")),
            frozenset(form.getlist("listed")),
            form.get("more_channels", ""),
        )

    def channels(self, stored: frozenset[str] | None = frozenset()) -> frozenset[str] | None:
        """Return the channels that the token is to see; None: all. `stored`: those it sees."""
        if self.sees == ALL:
            return None
        typed = {line.strip() for line in self.more.splitlines()} - {""}
        return ((stored or frozenset()) - self.listed) | self.ticked | typed


def known_permissions(names: Iterable[str]) -> frozenset[Permission]:
    """Return those of the names that are permissions."""
    return frozenset(permission for permission in Permission if permission in set(names))


def boxes(ids: Iterable[str], ticked: frozenset[str]) -> list[str]:
    """Return which channels get a box, seen ones (`ids`) first; at most `MAX_LISTED`."""
    offered = dict.fromkeys(ids)
    return [*offered, *sorted(ticked - offered.keys())][:MAX_LISTED]


def fingerprint(values: Sequence[str] | frozenset[str] | None) -> str:
    """Return a short text that differs where the values do, to notice that another person changed
    them. None is not the same as nothing.
    """
    spelled = "all" if values is None else "\0".join(["some", *sorted(values)])
    return hashlib.sha256(spelled.encode(errors="replace")).hexdigest()[:32]
