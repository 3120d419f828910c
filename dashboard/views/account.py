"""A person's own account: language, time zone, colours, password, keys, and where they are signed
in. Viewers have one, too: it changes nothing for anyone else.
"""

from http import HTTPStatus

from flask import Response

from dashboard.browsers import browser_name
from dashboard.confirming import ask_password
from dashboard.languages import CODES, language
from dashboard.pages import Page, changing, shown
from dashboard.passwords import TooManyGuesses, hashed, new_password_fault, person_with
from dashboard.views.beginning import begin
from dashboard.views.people_log import role_name
from dashboard.visit import Visit
from dashboard.zones import is_zone, zone_names
from schemas.errors import Conflict
from schemas.ids import SessionId
from schemas.people import Role

THEMES = ("light", "dark")
_YEAR_S = 365 * 24 * 3600


def account(visit: Visit) -> Response:
    """The page."""
    return _account(visit)


def save_preferences(visit: Visit) -> Response:
    """Change language, time zone, colours, and whether there is mail."""
    typed = {
        name: visit.form.get(name, "").strip()
        for name in ("language", "zone", "theme", "wants_mail")
    }
    if typed["zone"] and not is_zone(typed["zone"]):
        fault = visit.say("There is no time zone of this name: choose one of the list.")
        return _account(visit, typed, {"zone": fault})
    code = typed["language"] if typed["language"] in CODES else None
    visit.parts.people.set_language_and_zone(visit.person.email, code, typed["zone"] or None)
    if visit.is_admin:
        visit.parts.people.set_wants_mail(visit.person.email, "wants_mail" in visit.form)
    response = visit.go("/account", visit.say("Saved."))
    secure = visit.parts.is_secure
    if typed["theme"] in THEMES:
        response.set_cookie(
            "theme",
            typed["theme"],
            max_age=_YEAR_S,
            secure=secure,
            httponly=True,
            samesite="Lax",
        )
    else:
        response.delete_cookie("theme", secure=secure, httponly=True, samesite="Lax")
    return response


def change_password(visit: Visit) -> Response:
    """Set another password. It needs the old one, which is throttled like signing in: a browser that
    was left open must not become an account that is lost. All sessions end, and this browser gets
    a new one: someone else may have its cookie.
    """
    parts, person = visit.parts, visit.person
    if not parts.local_sign_in:
        raise Conflict("passwords are switched off here: people sign in by OpenID Connect")
    new = visit.form.get("new_password", "")
    if fault := new_password_fault(visit, new):
        return _account(visit, faults={"new_password": fault})
    if person.password_hash is None and parts.openid:
        reason = visit.say("A first password opens your account to anyone who knows it.")
        if page := ask_password(visit, reason):
            return page
    if fault := _old_password_fault(visit):
        return _account(visit, faults={"old_password": fault})
    person = parts.people.set_password_hash(person.email, hashed(visit, new), visit.actor)
    response = visit.go(
        "/account", visit.say("Your password has changed. You are signed out everywhere else.")
    )
    return begin(visit, person, response, None, is_confirmed=True)


def end_session(visit: Visit) -> Response:
    """Sign out in one browser."""
    session_id = SessionId(visit.form.get("session", ""))
    ended = visit.parts.sessions.end(visit.person.email, session_id, visit.actor)
    gone = visit.say("That session had ended already.")
    return visit.go("/account", visit.say("That session has ended.") if ended else gone)


def end_other_sessions(visit: Visit) -> Response:
    """Sign out everywhere but here."""
    assert visit.session is not None, "the page needs a person"
    email, here = visit.person.email, visit.session.id
    ended = visit.parts.sessions.end_all(email, visit.actor, here)
    said = visit.language.plural(
        "%(number)s session has ended.", "%(number)s sessions have ended.", ended
    )
    return visit.go("/account", said)


def _old_password_fault(visit: Visit) -> str | None:
    """Return why the old password does not allow a new one. Who has none may set one without."""
    if visit.person.password_hash is None:
        return None
    try:
        if person_with(visit, visit.person.email, visit.form.get("old_password", "")):
            return None
    except TooManyGuesses as guesses:
        return guesses.said(visit)
    return visit.say("This is not your present password.")


def _account(
    visit: Visit, typed: dict[str, str] | None = None, faults: dict[str, str] | None = None
) -> Response:
    person, now = visit.person, visit.parts.database.time()
    return visit.render(
        "account.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        typed=typed
        or {
            "language": person.language or "",
            "zone": person.zone or "",
            "theme": visit.theme or "",
            "wants_mail": "on" if person.wants_mail else "",
        },
        faults=faults or {},
        languages={code: language(code).name for code in CODES},
        zones=zone_names(),
        role=role_name(visit, person.role),
        sessions=visit.parts.sessions.of(person.email, now),
        browser_name=browser_name,
    )


PAGES: tuple[Page, ...] = (
    shown("/account", account),
    changing("/account/preferences", save_preferences, Role.VIEWER),
    changing("/account/password", change_password, Role.VIEWER),
    changing("/account/end-session", end_session, Role.VIEWER),
    changing("/account/end-other-sessions", end_other_sessions, Role.VIEWER),
)
