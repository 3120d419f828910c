"""Links that sign in once: a person's, who sets a password by it, and the first administrator's.

Looking at one changes nothing, as programs that scan mail open every link. Where signing in by
password is switched off they sign in without setting one: only the command line makes them then,
for the day when the provider is away.
"""

from http import HTTPStatus

from flask import Response

from dashboard.pages import Page, changing, shown
from dashboard.passwords import hashed, new_password_fault
from dashboard.views.beginning import begin
from dashboard.visit import Visit
from schemas.emails import email_fault
from schemas.errors import Conflict
from schemas.people import SignInLink
from store.people.redeeming import redeem

FIRST_EMAIL = "admin@localhost"
"""The first administrator, until another address is typed."""


def link(visit: Visit) -> Response:
    """The page behind a link."""
    code = visit.query.get("code", "")
    known = _known(visit, code)
    return _dead(visit) if known is None else _form(visit, code, known, known.email or FIRST_EMAIL)


def use_link(visit: Visit) -> Response:
    """Use a link up, and sign in. The link lives on while what is typed is refused."""
    code, known = visit.form.get("code", ""), _known(visit, visit.form.get("code", ""))
    if known is None:
        return _dead(visit)
    email = known.email or visit.form.get("email", "").strip().lower()
    password = visit.form.get("password", "") if visit.parts.local_sign_in else ""
    if faults := _faults(visit, known, email, password):
        return _form(visit, code, known, email, faults)
    try:
        hash_ = hashed(visit, password) if password else None
        person = redeem(visit.parts.database, code, email, hash_, visit.address)
    except Conflict:
        fault = visit.say("%(email)s is known already, as a viewer: choose another.", email=email)
        return _form(visit, code, known, email, {"email": fault})
    if person is None:
        return _dead(visit)
    zone = visit.form.get("zone")
    return begin(visit, person, visit.go("/"), zone, is_confirmed=bool(password))


def _known(visit: Visit, code: str) -> SignInLink | None:
    """Return what a link stands for, if it still works."""
    return visit.parts.links.peek(code, visit.parts.database.time())


def _faults(visit: Visit, known: SignInLink, email: str, password: str) -> dict[str, str]:
    """Return what is wrong, by field. Only the first administrator may do without a password."""
    faults = {}
    if known.email is None and email_fault(email):
        faults["email"] = visit.say("This is not an e-mail address such as ops@example.com.")
    needs_password = known.email is not None and visit.parts.local_sign_in
    if (password or needs_password) and (fault := new_password_fault(visit, password)):
        faults["password"] = fault
    return faults


def _form(
    visit: Visit, code: str, known: SignInLink, email: str, faults: dict[str, str] | None = None
) -> Response:
    return visit.render(
        "sign_in_link.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK,
        code=code,
        email=email,
        first=known.email is None,
        faults=faults or {},
    )


def _dead(visit: Visit) -> Response:
    return visit.render("sign_in_link_dead.html", HTTPStatus.GONE)


PAGES: tuple[Page, ...] = (
    shown("/sign-in/link", link, None),
    changing("/sign-in/link", use_link, None),
)
