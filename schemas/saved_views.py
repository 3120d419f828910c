"""Filters of lists that a person gave a name, to come back to. Pure. Called by the store and the
pages.
"""

from dataclasses import dataclass

MAX_NAME = 60
"""Characters of a name. Longer: names do not fit next to each other."""

MOST_VIEWS = 30
"""Views of one person. More: they take more room than the list."""


@dataclass(frozen=True, slots=True)
class SavedView:
    """A list with its filters."""

    name: str
    """What the person calls it, which is unique among theirs."""

    address: str
    """Where it is on these pages, such as `/deliveries?state=exhausted`."""
