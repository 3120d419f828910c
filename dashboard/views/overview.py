"""The overview: what happens now, and what to do next."""

from flask import Response

from dashboard.pages import Page, shown
from dashboard.visit import Visit


def overview(visit: Visit) -> Response:
    """The first page."""
    return visit.render("overview.html")


PAGES: tuple[Page, ...] = (shown("/", overview),)
