"""The people who may sign in: who they are, and for administrators adding them, new links, roles,
and removing them.
"""

from http import HTTPStatus
from urllib.parse import urlencode

from flask import Response

from dashboard.browsers import browser_name
from dashboard.confirming import ask_password
from dashboard.pages import Page, changing, shown
from dashboard.views.people_log import log_page, role_name
from dashboard.visit import Visit
from schemas.emails import email_fault, read_email
from schemas.errors import Conflict, Malformed, NotFound
from schemas.people import Person, Role, sign_in_address
from store.people.links import LINK_VALID_MS
from store.people.listing import find_listed, list_people

PEOPLE_ROWS = 50
"""People on a page. More: longer pages. Fewer: more clicks."""


def people(visit: Visit) -> Response:
    """Everyone, with the log of what was done to them."""
    return _people(visit)


def person(visit: Visit) -> Response:
    """One person."""
    return _person(visit, visit.query.get("email", ""))


def add_person(visit: Visit) -> Response:
    """Add someone, and show the link with which they sign in first. It is never shown again."""
    typed, role = visit.form.get("email", ""), _role(visit)
    if email_fault(typed.strip()):
        fault = visit.say("This is not an e-mail address such as ops@example.com.")
        return _people(visit, typed, role, {"email": fault})
    email = read_email(typed)
    if visit.parts.local_sign_in and (asked := _ask_password(visit, email)):
        return asked
    try:
        added = visit.parts.people.add(email, role, visit.actor)
    except Conflict:
        fault = visit.say("%(email)s may sign in already: see the list.", email=email)
        return _people(visit, typed, role, {"email": fault})
    if visit.parts.local_sign_in:
        return _link_page(visit, added, is_new=True)
    return visit.go("/people", visit.say("%(email)s may sign in now.", email=email))


def new_link(visit: Visit) -> Response:
    """Show another link for someone who lost theirs, or forgot the password."""
    if not visit.parts.local_sign_in:
        raise Conflict("links are made at the command line alone: ringback user link")
    named = _named(visit)
    return _ask_password(visit, named.email) or _link_page(visit, named, is_new=False)


def set_role(visit: Visit) -> Response:
    """Change what someone may do."""
    named, role = _named(visit), _role(visit)
    if visit.form.get("role") not in {*Role}:
        raise Malformed("no role was chosen: nothing was changed")
    try:
        visit.parts.people.set_role(named.email, role, visit.actor)
    except Conflict:
        return _person(visit, named.email, {"role": _last_administrator(visit, named)})
    if named.email == visit.person.email:
        return visit.go("/people", visit.say("Your role has changed."))
    said = visit.say("%(email)s is now: %(role)s.", email=named.email, role=role_name(visit, role))
    return visit.go(_address(named), said)


def end_sessions(visit: Visit) -> Response:
    """Sign someone out everywhere, but not the browser in which this is done."""
    named, session = _named(visit), visit.session
    keep = session.id if session and session.email == named.email else None
    ended = visit.parts.sessions.end_all(named.email, visit.actor, keep)
    said = visit.language.plural(
        "%(number)s session has ended.", "%(number)s sessions have ended.", ended
    )
    return visit.go(_address(named), said)


def remove_person(visit: Visit) -> Response:
    """Remove someone, who is signed out everywhere by that."""
    named = _named(visit)
    try:
        visit.parts.people.remove(named.email, visit.actor)
    except Conflict:
        return _person(visit, named.email, {"remove": _last_administrator(visit, named)})
    return visit.go("/people", visit.say("%(email)s is removed.", email=named.email))


def _people(
    visit: Visit, typed: str = "", role: Role = Role.VIEWER, faults: dict[str, str] | None = None
) -> Response:
    now = visit.parts.database.time()
    with visit.parts.database.read() as connection:
        listed = list_people(connection, now, PEOPLE_ROWS, visit.query.get("cursor") or None)
    return visit.render(
        "people.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        listed=listed,
        log=log_page(visit),
        roles=_roles(visit),
        typed=typed,
        role=role,
        faults=faults or {},
    )


def _person(visit: Visit, email: str, faults: dict[str, str] | None = None) -> Response:
    now = visit.parts.database.time()
    with visit.parts.database.read() as connection:
        found = find_listed(connection, now, email)
    if found is None:
        raise _unknown()
    return visit.render(
        "person.html",
        HTTPStatus.CONFLICT if faults else HTTPStatus.OK,
        found=found,
        person=found.person,
        sessions=visit.parts.sessions.of(email, now),
        log=log_page(visit, email),
        browser_name=browser_name,
        roles=_roles(visit),
        faults=faults or {},
    )


def _link_page(visit: Visit, whose: Person, *, is_new: bool) -> Response:
    secret = visit.parts.links.create(whose.email, LINK_VALID_MS, visit.actor)
    return visit.render(
        "person_link.html",
        person=whose,
        address=sign_in_address(visit.parts.public_url, secret),
        is_new=is_new,
        until=visit.parts.database.time() + LINK_VALID_MS,
    )


def _ask_password(visit: Visit, email: str) -> Response | None:
    """A link opens an account: with one's own, or a new person's, someone who finds the browser
    open would keep what they found.
    """
    return ask_password(visit, visit.say("Show a link that signs in as %(email)s", email=email))


def _named(visit: Visit) -> Person:
    found = visit.parts.people.find(visit.form.get("email", ""))
    if found is None:
        raise _unknown()
    return found


def _unknown() -> NotFound:
    return NotFound("there is no such person: someone may have removed them meanwhile")


def _role(visit: Visit) -> Role:
    """Return the role that was chosen; without a choice the one that may do less."""
    return Role.ADMIN if visit.form.get("role") == Role.ADMIN else Role.VIEWER


def _roles(visit: Visit) -> dict[Role, str]:
    return {role: role_name(visit, role) for role in Role}


def _last_administrator(visit: Visit, named: Person) -> str:
    return visit.say(
        "%(email)s is the last administrator, and someone must be one. Make another person an"
        " administrator first.",
        email=named.email,
    )


def _address(named: Person) -> str:
    return "/people/person?" + urlencode({"email": named.email})


PAGES: tuple[Page, ...] = (
    shown("/people", people),
    shown("/people/person", person),
    changing("/people/add", add_person),
    changing("/people/link", new_link),
    changing("/people/role", set_role),
    changing("/people/end-sessions", end_sessions),
    changing("/people/remove", remove_person),
)
