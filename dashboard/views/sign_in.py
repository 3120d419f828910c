"""Signing in by password, signing out, and what was typed before a session ended.

By a link that works once: `sign_in_links`. By OpenID Connect: `sign_in_openid`.
"""

from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import quote

from flask import Response, request, session

from dashboard.http import session_cookie
from dashboard.http.local_address import local_address
from dashboard.pages import Page, changing, shown
from dashboard.passwords import TooManyGuesses, person_with
from dashboard.views.beginning import begin, note_refusal
from dashboard.visit import Visit

Typed = list[tuple[str, str]]
"""The fields of a form, in their order."""

_RESUME = "resume:"
"""Before the name of a field that was typed in another form."""


def sign_in(visit: Visit) -> Response:
    """The form."""
    to = local_address(visit.query.get("next", "/"))
    return visit.go(to) if visit.known else sign_in_page(visit, to)


def check_password(visit: Visit) -> Response:
    """Sign in by password."""
    typed, resume = visit.form.get("email", ""), _resumed(visit)
    to = local_address(visit.form.get("next", "/"))

    def refused(status: HTTPStatus, fault: str) -> Response:
        return sign_in_page(visit, to, typed, fault, resume, status)

    if not visit.parts.local_sign_in:
        return refused(HTTPStatus.FORBIDDEN, visit.say("Signing in by password is switched off."))
    try:
        person = person_with(visit, typed, visit.form.get("password", ""))
    except TooManyGuesses as guesses:
        response = refused(HTTPStatus.TOO_MANY_REQUESTS, guesses.said(visit))
        response.headers["Retry-After"] = str(guesses.wait_s)
        return response
    if person is None:
        note_refusal(visit, "wrong_password")
        return refused(HTTPStatus.UNPROCESSABLE_ENTITY, visit.say("E-mail or password is wrong."))
    response = visit.go(to) if resume is None else _go_on(visit, to, resume)
    return begin(visit, person, response, visit.form.get("zone"), is_confirmed=True)


def sign_out(visit: Visit) -> Response:
    """End this session, and have the browser forget all that it kept."""
    if visit.session is not None:
        visit.parts.sessions.end(visit.session.email, visit.session.id, visit.actor)
    session.clear()
    response = visit.go("/sign-in")
    session_cookie.forget(response, secure=visit.parts.is_secure)
    return response


def ask_to_sign_in(visit: Visit) -> Response:
    """Answer a request of no one: after signing in it goes on, with what was typed."""
    if request.method == "GET":
        if request.headers.get("HX-Request"):
            return Response(status=HTTPStatus.UNAUTHORIZED, headers={"HX-Refresh": "true"})
        return visit.go("/sign-in?next=" + quote(_asked_for()))
    typed = [
        (name, value)
        for name, value in visit.form.items(multi=True)
        if "password" not in name  # it is asked for again
    ]
    return sign_in_page(visit, _asked_for(), resume=typed, status=HTTPStatus.UNAUTHORIZED)


def sign_in_page(
    visit: Visit,
    to: str,
    email: str = "",
    fault: str | None = None,
    resume: Typed | None = None,
    status: int = HTTPStatus.OK,
    *,
    at_provider: bool = False,
) -> Response:
    """Show the form. `resume`: the fields of a form that is sent again afterwards; None: no form.
    `at_provider`: the fault is not in what was typed here.
    """
    return visit.render(
        "sign_in.html",
        status,
        next=to,
        email=email,
        fault=fault,
        resume=resume,
        at_provider=at_provider,
    )


def _asked_for() -> str:
    return local_address(request.full_path.rstrip("?"))


def _go_on(visit: Visit, to: str, fields: Typed) -> Response:
    return visit.render("resume.html", address=to, fields=fields)


def _resumed(visit: Visit) -> Typed | None:
    if "resumed" not in visit.form:
        return None
    fields: Iterable[tuple[str, str]] = visit.form.items(multi=True)
    return [
        (name.removeprefix(_RESUME), value) for name, value in fields if name.startswith(_RESUME)
    ]


PAGES: tuple[Page, ...] = (
    shown("/sign-in", sign_in, None),
    changing("/sign-in", check_password, None),
    changing("/sign-out", sign_out, None),
)
