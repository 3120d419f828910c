"""Asking for the password again before a secret is shown: the person who sits at a browser now may
not be the one who signed in.
"""

from http import HTTPStatus

from flask import Response, request

from dashboard.visit import Visit
from schemas.passwords import is_password
from web.rate_limits import client_network

CONFIRMED_MS = 5 * 60_000
"""Milliseconds for which a password counts as given just now. Longer: more time for a person who
finds the browser open. Shorter: people type it more often.
"""

_PASSWORD = "password"


def ask_password(visit: Visit, reason: str) -> Response | None:
    """Return the page that asks for the password, with everything that was sent; None: it was given
    just now, or with this form.
    """
    session = visit.session
    assert session is not None, "the page needs a role"
    now = visit.parts.database.time()
    if session.confirmed_at is not None and now - session.confirmed_at < CONFIRMED_MS:
        return None
    if visit.person.password_hash is None:
        return _page(visit, reason, HTTPStatus.FORBIDDEN)
    if _PASSWORD not in visit.form:
        return _page(visit, reason)
    network = client_network(visit.address or "")
    failures, email = visit.parts.sign_in_failures, visit.person.email
    if wait_s := failures.attempt(email, network, now):
        wait = visit.language.span(wait_s)
        fault = visit.say("Too many attempts. Try again in %(wait)s.", wait=wait)
        return _page(visit, reason, HTTPStatus.TOO_MANY_REQUESTS, fault)
    if not is_password(visit.form[_PASSWORD], visit.person.password_hash):
        fault = visit.say("This is not your password.")
        return _page(visit, reason, HTTPStatus.UNPROCESSABLE_ENTITY, fault)
    failures.succeeded(email, network)
    visit.parts.sessions.confirm(session.id, now)
    return None


def _page(
    visit: Visit, reason: str, status: int = HTTPStatus.OK, fault: str | None = None
) -> Response:
    sent = [(name, text) for name, text in visit.form.items(multi=True) if name != _PASSWORD]
    return visit.render(
        "confirm.html",
        status,
        reason=reason,
        fault=fault,
        address=request.path,
        fields=sent,
        has_password=visit.person.password_hash is not None,
    )
