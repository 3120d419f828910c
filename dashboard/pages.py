"""How a page is declared: its address, who may see it, and the view that answers."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPMethod

from flask import Response

from schemas.people import Role

View = Callable[..., Response]
"""Called with the visit, and the variable parts of the address by name."""


@dataclass(frozen=True)
class Page:
    """One method of one address."""

    method: HTTPMethod
    rule: str
    view: View
    needs: Role | None
    """The role that a person needs; None: none."""
    by_link: bool = False
    """Whether a supplier's link is needed. Its view is not given the token's id: what the link
    opened is the only token that it knows.
    """

    @property
    def changes(self) -> bool:
        """Whether a request may change something."""
        return self.method is HTTPMethod.POST

    @property
    def name(self) -> str:
        """The name of the view, which is unique."""
        return self.view.__name__


def shown(rule: str, view: View, needs: Role | None = Role.VIEWER) -> Page:
    """Declare a page that is looked at."""
    return Page(HTTPMethod.GET, rule, view, needs)


def supplied(rule: str, view: View, method: HTTPMethod = HTTPMethod.GET) -> Page:
    """Declare a page of a supplier. Its address has the token's id, after which cookies are kept."""
    return Page(method, rule, view, None, by_link=True)


def changing(rule: str, view: View, needs: Role | None = Role.ADMIN) -> Page:
    """Declare where a form is sent to."""
    return Page(HTTPMethod.POST, rule, view, needs)
