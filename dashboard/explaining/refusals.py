"""Why a request with a token was refused, in words, and what an administrator can do about it."""

from dataclasses import dataclass

from dashboard.explaining.reader import Reader
from dashboard.explaining.values import shown
from schemas.errors import Forbidden, TooManyRequests
from schemas.request_log import LoggedRequest
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import TokenState


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one request was refused."""

    reason: str
    missing: Permission | None = None
    """The permission that a switch on another page gives; None: none was missing."""


def refusal(to: Reader, request: LoggedRequest) -> Refusal | None:
    """Return why a request was refused; None: it was allowed."""
    if request.allowed:
        return None
    say, reason = to.say, request.reason
    if reason == Forbidden.slug and request.permission is not None:
        label = say(request.permission.label)
        text = say("It lacks the permission “%(permission)s”.", permission=label)
        return Refusal(text, request.permission)
    known = {
        Forbidden.slug: say("It lacks a permission."),
        TooManyRequests.slug: say("Too many requests at once: its limit was reached."),
        TokenState.SCHEDULED: say("The token was not valid yet."),
        TokenState.SUSPENDED: say("The token was suspended."),
        TokenState.EXPIRED: say("The token had expired."),
        TokenState.REVOKED: say("The token was revoked."),
        None: say("Refused, for a reason that was not reported."),
    }
    return Refusal(known[reason] if reason in known else shown(reason))
