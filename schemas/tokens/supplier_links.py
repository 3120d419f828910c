"""Links to a supplier's page: what one says, and whether it is still good. Pure.

A link is not stored. It carries a mark of its token, which changes when the token's secret is
replaced or all links are ended, so that every process judges a link by the token as it is now.
"""

import datetime as dt
import hashlib
from dataclasses import dataclass
from enum import Enum, auto

from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.tokens import Token, TokenState

OPEN_STATES = frozenset({TokenState.ACTIVE, TokenState.SCHEDULED})
"""States of a token in which its links are good. A scheduled one is set up before its first day."""

_HEX_DIGITS = 32  # 128 bits


@dataclass(frozen=True, slots=True)
class SupplierLink:
    """What a link says."""

    token_id: TokenId
    until: UnixMs
    """Its end, exclusive."""
    mark: str
    """The mark that the token had when the link was made."""


class WhyNot(Enum):
    """Why a link is not good."""

    OVER = auto()
    """Its time has passed."""
    ENDED = auto()
    """The token's secret was replaced, or a person ended all links."""
    SUSPENDED = auto()
    """The token is suspended. The link is good again when that ends."""
    CLOSED = auto()
    """The token has expired, or was revoked."""


def link_to(token: Token, life: dt.timedelta, now: UnixMs) -> SupplierLink:
    """Return a link that is good for `life`, but not beyond the end of its token."""
    until = UnixMs(now + life // dt.timedelta(milliseconds=1))
    if token.expires_at is not None:
        until = min(until, token.expires_at)
    return SupplierLink(token.id, until, _mark(token))


def why_not(link: SupplierLink, token: Token, now: UnixMs) -> WhyNot | None:
    """Return why a link to this token is not good at `now`; None: it is."""
    state = token.state(now)
    if state in {TokenState.EXPIRED, TokenState.REVOKED}:
        return WhyNot.CLOSED
    if link.mark != _mark(token):
        return WhyNot.ENDED
    if now >= link.until:
        return WhyNot.OVER
    return None if state in OPEN_STATES else WhyNot.SUSPENDED


def _mark(token: Token) -> str:
    """Return the token's mark. It is made of the hash of a random secret, so it shows nothing."""
    content = b"%d %b" % (token.links_ended, token.hashes[-1].value)
    return hashlib.sha256(content).hexdigest()[:_HEX_DIGITS]
