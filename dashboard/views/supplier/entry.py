"""How a supplier comes in: the link, which becomes a cookie, and what is shown where it opens
nothing.
"""

from http import HTTPStatus

from flask import Response

from dashboard.http import supplier_cookie
from dashboard.pages import Page, shown
from dashboard.supplier_access import SupplierAccess, access
from dashboard.visit import Visit
from schemas.tokens.supplier_links import WhyNot

LINK = "/supplier/link"
"""The address of all links. They can be opened any number of times: programs that scan mail do no
harm.
"""


def open_supplier_link(visit: Visit) -> Response:
    """Keep the link in a cookie, and go to an address that does not show it."""
    link = visit.query.get("code", "")
    found = access(visit.parts, link, visit.now)
    if not isinstance(found, SupplierAccess):
        response = closed(visit, found)
        # this page's address shows a link that may open something later: of a suspended token
        response.headers["Referrer-Policy"] = "no-referrer"
        return response
    response = visit.go(found.home)
    lives_s = (found.until - visit.now) // 1000
    supplier_cookie.write(response, found.token.id, link, lives_s, secure=visit.parts.is_secure)
    return response


def closed(visit: Visit, why: WhyNot | None) -> Response:
    """Say that the link opens nothing, and what to do. `why` is None for what is no link."""
    return visit.render("supplier_closed.html", HTTPStatus.FORBIDDEN, words=_words(visit, why))


def _words(visit: Visit, why: WhyNot | None) -> tuple[str, str]:
    """Return what is the matter, and what it means."""
    say = visit.say
    return {
        WhyNot.OVER: (
            say("This link has ended"),
            say("A link is given for a number of days, which have passed."),
        ),
        WhyNot.ENDED: (
            say("This link was ended"),
            say("The access that it belongs to was renewed, or its links were ended."),
        ),
        WhyNot.SUSPENDED: (
            say("Your access is suspended"),
            say("The link works again when that ends. Until then what you would receive is kept."),
        ),
        WhyNot.CLOSED: (
            say("Your access has ended"),
            say("Nothing is delivered to you any more, so there is no page to see."),
        ),
        None: (
            say("A link is needed for this page"),
            say("Open the whole link that you were given, in this browser."),
        ),
    }[why]


PAGES: tuple[Page, ...] = (shown(LINK, open_supplier_link, None),)
