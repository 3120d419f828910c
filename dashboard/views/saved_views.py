"""Saving a list with its filters under a name, and forgetting it. Everyone has views of their own: they
change nothing for anyone else.
"""

from urllib.parse import parse_qsl, urlencode

from flask import Response

from dashboard.faults import fault_in_words
from dashboard.filters import deliveries
from dashboard.pages import Page, changing
from dashboard.views import events
from dashboard.visit import Visit
from schemas.errors import Conflict, Malformed
from schemas.people import Role
from schemas.saved_views import MAX_NAME, SavedView
from schemas.texts import name_fault

_FIELDS = {"/deliveries": deliveries.FIELDS, "/events": events.FIELDS}
"""The parameters of each list that can be saved."""

_MAX_QUERY = 2000
"""Characters of a list's parameters. More: each of a person's pages is larger by so much a view."""


def save_view(visit: Visit) -> Response:
    """Save the list that the form was on."""
    address, name = _address(visit), " ".join(visit.form.get("name", "").split())
    if fault := name_fault(name, MAX_NAME):
        return visit.go(address, _not_saved(visit, fault))
    try:
        visit.parts.saved_views.save(visit.person.email, SavedView(name, address))
    except Conflict as error:
        return visit.go(address, _not_saved(visit, error.detail))
    return visit.go(address, visit.say("Saved. You find it above the filters."))


def forget_view(visit: Visit) -> Response:
    """Forget a view."""
    address = _address(visit)
    visit.parts.saved_views.forget(visit.person.email, visit.form.get("name", ""))
    return visit.go(address, visit.say("The view is forgotten."))


def _not_saved(visit: Visit, fault: str) -> str:
    return visit.say("Not saved: %(reason)s.", reason=fault_in_words(visit.say, fault))


def _address(visit: Visit) -> str:
    """Return the address of the list, put together of its own parameters. Raises Malformed for any
    other page, as a browser is sent there.
    """
    path, _, query = visit.form.get("address", "").partition("?")
    fields = _FIELDS.get(path)
    if fields is None or len(query) > _MAX_QUERY:
        raise Malformed("this is no list that can be saved")
    typed = [(name, text) for name, text in parse_qsl(query) if name in fields]
    return path + (f"?{urlencode(typed)}" if typed else "")


PAGES: tuple[Page, ...] = (
    changing("/views", save_view, Role.VIEWER),
    changing("/views/forget", forget_view, Role.VIEWER),
)
