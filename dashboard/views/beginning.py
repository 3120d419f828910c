"""How a session begins, however the person has signed in; and how a refusal to sign in is noted.
Called by the views of signing in.
"""

from flask import Response

from dashboard.http import known_browser, session_cookie
from dashboard.visit import Visit
from dashboard.zones import is_zone
from schemas.log_events import LogEvent
from schemas.people import Person
from schemas.tokens.audit_log import Actor


def begin(
    visit: Visit, person: Person, response: Response, zone: str | None, *, is_confirmed: bool
) -> Response:
    """Begin a session, with a secret of its own: one that the browser already has ends. `zone` is
    where the browser is: it becomes the person's time zone, if they have chosen none.
    """
    parts, old = visit.parts, visit.session
    if old is not None:
        parts.sessions.end(old.email, old.id, Actor.person(old.email, visit.address))
    if person.zone is None and zone and is_zone(zone):
        parts.people.set_language_and_zone(person.email, person.language, zone)
    begun = parts.sessions.create(
        person,
        visit.address,
        visit.user_agent,
        parts.database.time(),
        is_confirmed=is_confirmed,
    )
    session_cookie.write(response, begun.secret, secure=parts.is_secure)
    known_browser.write(response, person.email, parts.cookie_keys, secure=parts.is_secure)
    return response


def note_refusal(visit: Visit, reason: str, **details: object) -> None:
    """Log that someone was not signed in."""
    visit.parts.observer.log(
        LogEvent.SIGN_IN_REFUSED, reason=reason, address=visit.address, **details
    )
