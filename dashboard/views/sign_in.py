"""Signing in and out: by password, by a link that works once, and what was typed before a session
ended.
"""

from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import quote
from zoneinfo import available_timezones

from flask import Response, request

from dashboard.http import session_cookie
from dashboard.pages import Page, changing, shown
from dashboard.visit import Visit
from schemas.emails import email_fault
from schemas.passwords import is_password, password_fault, password_hash
from schemas.people import Person, Role, read_email
from schemas.times import UnixMs
from schemas.tokens.audit_log import Actor
from web.rate_limits import client_network

_RESUME = "resume:"
_SECRET_FIELDS = frozenset({"password", "secret"})
"""Fields that are not repeated on another page."""

FIRST_EMAIL = "admin@localhost"
"""The first administrator, until another address is typed."""


def sign_in(visit: Visit) -> Response:
    """The form."""
    to = _local(visit.query.get("next", "/"))
    if visit.known:
        return visit.go(to)
    return _form(visit, to)


def check_password(visit: Visit) -> Response:
    """Sign in by password."""
    parts, typed = visit.parts, visit.form.get("email", "")
    resume = _resumed(visit.form.items(multi=True))
    to = _local(visit.form.get("next", "/"))
    email = None if email_fault(typed.strip()) else read_email(typed)
    network = client_network(visit.address or "")
    now = parts.database.time()
    if wait_s := parts.sign_in_failures.attempt(email, network, now):
        fault = visit.say(
            "Too many attempts. Try again in %(wait)s.", wait=visit.language.span(wait_s)
        )
        return _form(visit, to, typed, fault, resume, HTTPStatus.TOO_MANY_REQUESTS)
    person = email and parts.people.find(email)
    is_right = is_password(visit.form.get("password", ""), person.password_hash if person else None)
    if not (person and is_right):
        fault = visit.say("E-mail or password is wrong.")
        return _form(visit, to, typed, fault, resume, HTTPStatus.UNPROCESSABLE_ENTITY)
    parts.sign_in_failures.succeeded(person.email, network)
    response = visit.render("resume.html", address=to, fields=resume) if resume else visit.go(to)
    return _begin(visit, person, response, now)


def link(visit: Visit) -> Response:
    """The page behind a link. It changes nothing: programs that scan mails fetch links, too."""
    code = visit.query.get("code", "")
    known = visit.parts.links.peek(code, visit.parts.database.time())
    if known is None:
        return visit.render("sign_in_link_dead.html", HTTPStatus.GONE)
    return _link_form(visit, code, known.email or FIRST_EMAIL, first=known.email is None)


def use_link(visit: Visit) -> Response:
    """Use a link up, and sign in. The link lives on while what is typed is refused."""
    parts, now = visit.parts, visit.parts.database.time()
    code, password = visit.form.get("code", ""), visit.form.get("password", "")
    known = parts.links.peek(code, now)
    if known is None:
        return visit.render("sign_in_link_dead.html", HTTPStatus.GONE)
    first = known.email is None
    email = known.email or visit.form.get("email", "").strip().lower()
    fault = password_fault(password) if password or not first else None
    if fault := (email_fault(email) if first else None) or fault:
        return _link_form(visit, code, email, first=first, fault=fault)
    hashed = password_hash(password) if password else None
    if parts.links.use(code, now) is None:
        return visit.render("sign_in_link_dead.html", HTTPStatus.GONE)
    if first:
        parts.people.add(email, Role.ADMIN, Actor.person(email, visit.address))
    if hashed:
        parts.people.set_password_hash(email, hashed, Actor.person(email, visit.address))
    return _begin(visit, parts.people.get(email), visit.go("/"), now)


def sign_out(visit: Visit) -> Response:
    """End this session."""
    assert visit.session is not None, "a person who signed in has one"
    visit.parts.sessions.end(visit.session.email, visit.session.id, visit.actor)
    response = visit.go("/sign-in")
    session_cookie.forget(response, secure=visit.parts.is_secure)
    return response


def ask_to_sign_in(visit: Visit) -> Response:
    """Answer a request of no one: after signing in it goes on, with what was typed."""
    if request.method == "GET":
        if request.headers.get("HX-Request"):
            return Response(status=HTTPStatus.UNAUTHORIZED, headers={"HX-Refresh": "true"})
        return visit.go("/sign-in?next=" + quote(request.full_path.rstrip("?")))
    typed = [
        (name, value) for name, value in visit.form.items(multi=True) if name not in _SECRET_FIELDS
    ]
    return _form(visit, request.path, resume=typed, status=HTTPStatus.UNAUTHORIZED)


def _begin(visit: Visit, person: Person, response: Response, now: UnixMs) -> Response:
    """Begin a session. The browser says in which zone the person is, if they have not."""
    parts, zone = visit.parts, visit.form.get("zone")
    if person.zone is None and zone in available_timezones():
        parts.people.set_language_and_zone(person.email, person.language, zone)
    agent = request.headers.get("User-Agent")
    begun = parts.sessions.create(person.email, visit.address, agent, now, by_password=True)
    session_cookie.write(response, begun.secret, secure=parts.is_secure)
    return response


def _form(
    visit: Visit,
    to: str,
    email: str = "",
    fault: str | None = None,
    resume: Iterable[tuple[str, str]] = (),
    status: int = HTTPStatus.OK,
) -> Response:
    return visit.render(
        "sign_in.html", status, next=to, email=email, fault=fault, resume=list(resume)
    )


def _link_form(
    visit: Visit, code: str, email: str, *, first: bool, fault: str | None = None
) -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK
    return visit.render(
        "sign_in_link.html", status, code=code, email=email, first=first, fault=fault
    )


def _resumed(fields: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (name.removeprefix(_RESUME), value) for name, value in fields if name.startswith(_RESUME)
    ]


def _local(address: str) -> str:
    """Return an address of this site; any other becomes the overview's."""
    is_local = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if is_local else "/"


PAGES: tuple[Page, ...] = (
    shown("/sign-in", sign_in, None),
    changing("/sign-in", check_password, None),
    shown("/sign-in/link", link, None),
    changing("/sign-in/link", use_link, None),
    changing("/sign-out", sign_out, Role.VIEWER),
)
