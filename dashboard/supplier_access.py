"""Who a supplier's link lets in, and to which token. Called before each page of a supplier."""

from dataclasses import dataclass

from dashboard.http.supplier_cookie import home
from dashboard.http.supplier_links import link_in
from dashboard.parts import PageParts
from schemas.errors import NotFound
from schemas.times import UnixMs
from schemas.tokens.supplier_links import WhyNot, why_not
from schemas.tokens.tokens import Token


@dataclass(frozen=True, slots=True)
class SupplierAccess:
    """The token that a link opened: the only one that its pages may show anything of."""

    token: Token
    until: UnixMs
    """The end of the link."""

    @property
    def home(self) -> str:
        """The address of the token's page, which those of its other pages begin with."""
        return home(self.token.id)


def access(parts: PageParts, text: str | None, now: UnixMs) -> SupplierAccess | WhyNot | None:
    """Return what a link opens, or why it does not; None: it is no link.

    The token is read from the database each time, so that a link ends everywhere at once.
    """
    link = link_in(text, parts.cookie_keys) if text else None
    if link is None:
        return None
    try:
        token = parts.tokens.get(link.token_id)
    except NotFound:  # of a database that was replaced by an older one
        return None
    return why_not(link, token, now) or SupplierAccess(token, link.until)
