"""One request of one person: who it is, what they sent, and how they are answered. Passed to every
view.
"""

import secrets
from dataclasses import dataclass, field
from http import HTTPStatus
from zoneinfo import ZoneInfo

from flask import Response, flash, get_flashed_messages, redirect, request
from werkzeug.datastructures import MultiDict

from dashboard.languages import Language, to_say
from dashboard.parts import PageParts
from dashboard.rendering import environment
from dashboard.supplier_access import SupplierAccess
from schemas.people import Person, Role, Session
from schemas.times import UnixMs
from schemas.tokens.audit_log import Actor
from schemas.tokens.tokens import Token
from web.client_address import client_address

MENU = (
    ("/", to_say("Overview")),
    ("/tokens", to_say("Tokens")),
    ("/deliveries", to_say("Deliveries")),
    ("/events", to_say("Events")),
    ("/attention", to_say("Needs attention")),
    ("/people", to_say("People")),
)


@dataclass(frozen=True)
class Visit:
    """A request, with the person who made it."""

    parts: PageParts
    now: UnixMs
    """The store's time."""
    language: Language
    zone: ZoneInfo
    """The zone of all dates and times on the page."""
    known: Person | None
    """Who is signed in; None: no one."""
    session: Session | None
    supplier: SupplierAccess | None = None
    """What a supplier's link opened; None: this is no page of a supplier."""
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    """What allows a script of the page to run."""

    @property
    def person(self) -> Person:
        """Who is signed in. For views of pages that need a role."""
        assert self.known is not None, "the page needs a role"
        return self.known

    @property
    def is_admin(self) -> bool:
        """Whether the person may change things."""
        return self.known is not None and self.known.role is Role.ADMIN

    @property
    def may_see_payloads(self) -> bool:
        """Whether the person sees the data of events, and what receivers answered: bodies, headers
        and the words of errors. The only place that decides it.
        """
        if self.supplier is not None:
            return True  # they were sent to the supplier
        return self.is_admin or (self.known is not None and self.parts.viewers_see_payloads)

    @property
    def own_token(self) -> Token:
        """The supplier's token. For views of pages that need a link."""
        assert self.supplier is not None, "the page needs a link"
        return self.supplier.token

    @property
    def base(self) -> str:
        """What the addresses of deliveries begin with: empty, or where a supplier's pages are."""
        return self.supplier.home if self.supplier else ""

    @property
    def actor(self) -> Actor:
        """Return who makes a change, for the operation log."""
        return Actor.person(self.person.email, self.address)

    @property
    def address(self) -> str | None:
        """The IP address of the browser."""
        return client_address(request.environ, self.parts.trusted_proxies) or None

    @property
    def user_agent(self) -> str | None:
        """What the browser says that it is."""
        return request.headers.get("User-Agent")

    @property
    def form(self) -> MultiDict[str, str]:
        """The fields of the form that was sent."""
        return request.form

    @property
    def query(self) -> MultiDict[str, str]:
        """The parameters of the address."""
        return request.args

    @property
    def theme(self) -> str | None:
        """`light` or `dark`, as the person chose; None: as the system has it."""
        theme = request.cookies.get("theme")
        return theme if theme in {"light", "dark"} else None

    @property
    def menu(self) -> list[tuple[str, str]]:
        """The addresses of the main pages, with their names."""
        return [(address, self.say(label)) for address, label in MENU]

    def say(self, text: str, **values: object) -> str:
        """Return a text in the person's language, with `%(name)s` filled in."""
        return self.language.text(text, **values)

    def render(self, template: str, status: int = HTTPStatus.OK, /, **values: object) -> Response:
        """Answer with a page."""
        page = environment().get_template(template)
        text = page.render(self._common() | values)
        return Response(text, status, content_type="text/html; charset=utf-8")

    def go(self, to: str, notice: str | None = None) -> Response:
        """Answer a form that was done: the browser loads another page, which shows the notice."""
        if notice:
            flash(notice)
        return redirect(to, HTTPStatus.SEE_OTHER)  # type: ignore[return-value]  # werkzeug's class

    def _common(self) -> dict[str, object]:
        return {
            "visit": self,
            "_": self.say,
            "_n": self.language.plural,
            "path": request.path,
            "notices": get_flashed_messages(),
        }
