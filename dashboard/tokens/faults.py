"""What is wrong with a form, by field: from the faults of the API's models, whose pointers name the
fields of JSON bodies. Pure.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from dashboard.faults import fault_in_words
from schemas.errors import Fault

Say = Callable[..., str]
"""Returns a text in the person's language."""

Faults: TypeAlias = dict[str, str]
"""What is wrong, by the name of the field; by `FORM` what concerns no single one."""

FORM = ""

_FIELDS = (
    ("/name", "name"),
    ("/contact", "contact"),
    ("/activates_at", "activates_on"),
    ("/expires_at", "expires_on"),
    ("/permissions", "permission"),
    ("/visibility", "more_channels"),
)
_CALLBACK = "/callbacks/"


def by_field(faults: Iterable[Fault], say: Say) -> Faults:
    """Return the faults of a body by the fields of the form it was made of: the first of each."""
    found: Faults = {}
    for fault in faults:
        found.setdefault(_field(fault.pointer), fault_in_words(say, fault.detail))
    return found


def url_field(event_type: str) -> str:
    """Return the name of the field for a callback's address."""
    return f"url.{event_type}"


def _field(pointer: str) -> str:
    if pointer.startswith(_CALLBACK):
        return url_field(pointer.removeprefix(_CALLBACK).split("/")[0])
    return next((field for start, field in _FIELDS if pointer.startswith(start)), FORM)
