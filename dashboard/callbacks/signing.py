"""The signing secret of a token, as far as its page may know it without showing it. Pure."""

from schemas.times import UnixMs
from schemas.tokens.tokens import Token

OVERLAPS = ("0s", "1h", "24h", "7d")
"""How long the previous secret may go on after a new one was made, to choose from."""

USUAL_OVERLAP = "24h"


def also_signs_until(token: Token, now: UnixMs) -> UnixMs | None:
    """Return until when an earlier secret signs, too; None: none does."""
    ends = (key.until for key in token.signing_keys if key.until is not None)
    return max((until for until in ends if until > now), default=None)
