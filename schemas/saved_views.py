"""Filters of lists that a person gave a name, to come back to. Pure. Called by the store and the
pages.
"""

from dataclasses import dataclass

from schemas.texts import harmful, is_blank, named

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


def name_fault(name: str) -> str | None:
    """Return why a view cannot have this name; None: it can."""
    if is_blank(name) or len(name) > MAX_NAME:
        return f"a name has 1 to {MAX_NAME} characters, and not only invisible ones"
    if character := harmful(name):
        return f"a name cannot hold {named(character)}: leave it out"
    return None
