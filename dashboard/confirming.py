"""Asking for the password again before a secret is shown: the person who sits at a browser now may
not be the one who signed in.
"""

from http import HTTPStatus

from flask import Response, request

from dashboard.passwords import TooManyGuesses, person_with
from dashboard.visit import Visit

CONFIRMED_MS = 5 * 60_000
"""Milliseconds for which a password counts as given just now. Longer: more time for a person who
finds the browser open. Shorter: people type it more often.
"""

_PASSWORD = "password"


def ask_password(visit: Visit, reason: str) -> Response | None:
    """Return the page that asks for the password, with everything that was sent; None: it was given
    just now, or with this form. Who has none proves at the OpenID Connect provider who they are.
    """
    session = visit.session
    assert session is not None, "the page needs a role"
    now = visit.parts.database.time()
    if session.confirmed_at is not None and now - session.confirmed_at < CONFIRMED_MS:
        return None
    if not _has_password(visit):
        return _page(visit, reason, HTTPStatus.FORBIDDEN)
    if _PASSWORD not in visit.form:
        return _page(visit, reason)
    try:
        is_right = person_with(visit, visit.person.email, visit.form[_PASSWORD]) is not None
    except TooManyGuesses as guesses:
        return _page(visit, reason, HTTPStatus.TOO_MANY_REQUESTS, guesses.said(visit))
    if not is_right:
        fault = visit.say("This is not your password.")
        return _page(visit, reason, HTTPStatus.UNPROCESSABLE_ENTITY, fault)
    visit.parts.sessions.confirm(session.id, now)
    return None


def _has_password(visit: Visit) -> bool:
    return visit.parts.local_sign_in and visit.person.password_hash is not None


def _page(
    visit: Visit, reason: str, status: int = HTTPStatus.OK, fault: str | None = None
) -> Response:
    sent = [(name, text) for name, text in visit.form.items(multi=True) if _PASSWORD not in name]
    return visit.render(
        "confirm.html",
        status,
        reason=reason,
        fault=fault,
        address=request.path,
        fields=sent,
        has_password=_has_password(visit),
    )
