"""The Flask application of the pages: the one way from a request to its view: who is it, may they,
and does the request come from here.
"""

import time
import traceback
from collections.abc import Iterable
from dataclasses import replace
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask, Response, g, request

from dashboard import static_files
from dashboard.explaining.values import as_sentence
from dashboard.faults import fault_in_words
from dashboard.http import session_cookie, supplier_cookie
from dashboard.http.headers import protect
from dashboard.http.origin import is_from_here
from dashboard.languages import chosen
from dashboard.pages import Page
from dashboard.parts import PageParts
from dashboard.site_map import PAGES
from dashboard.supplier_access import SupplierAccess, access
from dashboard.views.sign_in import ask_to_sign_in
from dashboard.views.supplier.entry import closed
from dashboard.visit import Visit
from dashboard.zones import zone
from schemas.errors import Forbidden, InternalError, NotFound, TooLarge
from schemas.ids import new_request_id
from schemas.log_events import LogEvent
from schemas.people import Person, Role, Session, sign_in_hash
from schemas.tokens.supplier_links import WhyNot
from web.environ import body_refusal
from web.problems import as_problem

MAX_BODY_BYTES = 2**20
"""The largest form: the data of an event, percent-encoded. Larger: more memory per request."""

MAX_FIELDS = 1000
"""Fields of a form, as many as Flask takes of one with files. More: to read them, and to show them
again on the page for signing in, takes seconds of processor time, which anyone can ask for. Fewer:
forms with many channels are refused.
"""

_URLENCODED = "application/x-www-form-urlencoded"

_VISIT = "visit"
"""Where the visit is kept while its request is answered: an error is shown to the same person."""


def create_pages(parts: PageParts) -> "PagesApplication":
    """Return the application. It does not own the parts: the caller closes them."""
    return PagesApplication(parts)


class PagesApplication(Flask):
    """The pages behind any WSGI server."""

    def __init__(self, parts: PageParts):
        super().__init__("dashboard", static_folder=None)
        self._parts = parts
        *older, newest = parts.cookie_keys
        self.config |= {
            "SECRET_KEY": newest,
            "SECRET_KEY_FALLBACKS": older,
            "SESSION_COOKIE_NAME": "__Host-ringback-page" if parts.is_secure else "ringback-page",
            "SESSION_COOKIE_SECURE": parts.is_secure,
            "SESSION_COOKIE_SAMESITE": "Lax",
            "MAX_CONTENT_LENGTH": MAX_BODY_BYTES,
            "MAX_FORM_MEMORY_SIZE": MAX_BODY_BYTES,
        }
        self.url_map.merge_slashes = False  # a doubled slash is no address, and leads nowhere
        for page in PAGES:
            self.add_url_rule(page.rule, page.name, _Entry(parts, page), methods=[page.method])
        self.add_url_rule("/static/<digest>/<path:name>", "static", _static_file)
        self.register_error_handler(Exception, self._answer_error)
        self._first_parts = {page.rule.split("/")[1] for page in PAGES} | {"static"}

    def serves(self, path: str) -> bool:
        """Return whether there may be a page at this address."""
        first = path[1:].partition("/")[0]
        return path == "/" or (bool(first) and first in self._first_parts)

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle a request, and add it to the metrics."""
        started_s = time.perf_counter()
        status = 0

        def start(line: str, *rest: object) -> object:
            nonlocal status
            status = int(line[:3])
            return start_response(line, *rest)  # type: ignore[arg-type]  # as it was given

        body = super().wsgi_app(environ, start)  # type: ignore[arg-type]  # the same protocol
        self._parts.observer.http_request(
            "page", environ["REQUEST_METHOD"], status, time.perf_counter() - started_s
        )
        return body

    def _answer_error(self, error: Exception) -> Response:
        problem = as_problem(error)
        request_id = new_request_id()
        if isinstance(problem, InternalError):
            self._parts.observer.log(
                LogEvent.REQUEST_FAILED,
                request_id=request_id,
                error=repr(error),
                trace="".join(traceback.format_exception(error)),
            )
        visit = g.get(_VISIT) or _visit(self._parts, None)
        detail = as_sentence(fault_in_words(visit.say, problem.detail))
        response = visit.render(
            "problem.html", problem.status, problem=problem, detail=detail, request_id=request_id
        )
        response.headers.extend(problem.headers or {})
        protect(response.headers, visit.nonce)
        return response


class _Entry:
    """The way to one page's view."""

    def __init__(self, parts: PageParts, page: Page):
        self._parts, self._page = parts, page

    def __call__(self, **path_values: str) -> Response:
        page = self._page
        if page.changes and not is_from_here(request.environ, self._parts.public_url):
            raise Forbidden(
                "this form was not sent from a page of Ringback, so nothing was changed: open"
                f" {self._parts.public_url}, and send it from there"
            )
        if refusal := body_refusal(request.environ):
            raise refusal
        if request.mimetype == _URLENCODED and request.get_data().count(b"&") >= MAX_FIELDS:
            raise TooLarge(f"a form has at most {MAX_FIELDS} fields: nothing was changed")
        if page.by_link:
            visit, response = self._by_link(**path_values)
        else:
            visit = _visit(self._parts, self._signed_in())
            setattr(g, _VISIT, visit)
            response = self._answer(visit, path_values)
        protect(response.headers, visit.nonce)
        return response

    def _by_link(self, token_id: str, **path_values: str) -> tuple[Visit, Response]:
        """Answer a supplier. A person who is signed in in the same browser is no one here."""
        visit = _visit(self._parts, None)
        link = supplier_cookie.read(request, secure=self._parts.is_secure)
        found = access(self._parts, link, visit.now)
        if not isinstance(found, SupplierAccess) or found.token.id != token_id:
            return visit, closed(visit, found if isinstance(found, WhyNot) else None)
        visit = replace(visit, supplier=found, zone=zone(request.cookies.get("zone")))
        setattr(g, _VISIT, visit)
        return visit, self._page.view(visit, **path_values)

    def _answer(self, visit: Visit, path_values: dict[str, str]) -> Response:
        needs = self._page.needs
        if needs is not None and visit.known is None:
            return ask_to_sign_in(visit)
        if needs is Role.ADMIN and not visit.is_admin:
            raise Forbidden("you may look at everything, but not change it: ask an administrator")
        return self._page.view(visit, **path_values)

    def _signed_in(self) -> tuple[Session, Person] | None:
        secret = session_cookie.read(request, secure=self._parts.is_secure)
        if not secret:
            return None
        now = self._parts.directory.now()
        found = self._parts.sessions.find(sign_in_hash(secret), now)
        if found:
            self._parts.sessions.touch(found[0], now)
        return found


def _visit(parts: PageParts, signed_in: tuple[Session, Person] | None) -> Visit:
    session, person = signed_in or (None, None)
    accepted = [code for code, _ in request.accept_languages]
    return Visit(
        parts=parts,
        now=parts.directory.now(),
        language=chosen(person.language if person else None, accepted),
        zone=zone(person.zone if person else None),
        known=person,
        session=session,
    )


def _static_file(digest: str, name: str) -> Response:
    found = static_files.at(digest, name)
    if found is None:
        raise NotFound("there is no such file: reload the page that needs it")
    is_gzipped = request.accept_encodings.quality("gzip") > 0
    content = found.gzipped if is_gzipped else found.content
    response = Response(content, content_type=found.content_type)
    if is_gzipped:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = static_files.FOR_EVER
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
