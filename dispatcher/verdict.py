"""The meaning of a response for its delivery, judged once, here, and never again downstream. Pure;
the time is passed in.
"""

import email.utils
import re
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from dispatcher.http.messages import HttpResponse
from schemas.deliveries.callback_health import LONGEST_PAUSE_S
from schemas.deliveries.deliveries import Outcome
from schemas.times import UnixMs

QUOTED_CHARACTERS = 200
"""Characters of a receiver's or a library's text that an attempt's record quotes. Larger: records
are harder to read, as a header may have 100 KB. Smaller: the cause may be cut off.
"""

_HINTS = {
    401: "the receiver requires authentication. Set its credentials as a header of the callback",
    403: "the receiver does not allow the request. Check the headers of the callback, and the "
    "receiver's firewall",
    404: "the receiver has nothing at this path. Check the callback's URL",
    405: "the receiver does not accept POST there. Check the callback's URL",
    410: "the receiver wants no more events",
    413: "the receiver does not accept events of this size. Raise its limit to 300 KB",
    415: "the receiver does not accept application/json there. Check the callback's URL",
    429: "the receiver accepts no more at present",
}
_HOST = re.compile(r"[a-z0-9._:-]{1,253}")
_CLASSES = {3: Outcome.HTTP_3XX, 4: Outcome.HTTP_4XX, 5: Outcome.HTTP_5XX}
_GONE, _TOO_MANY_REQUESTS, _UNAVAILABLE = 410, 429, 503


class Verdict(msgspec.Struct, frozen=True):
    """The meaning of one response, or of its absence."""

    outcome: Outcome
    """How the attempt ended."""

    error: str | None = None
    """What went wrong, in Ringback's words. With `DELIVERED`: what was wrong with the rest of the
    response.
    """

    retry_after_s: float | None = None
    """The pause that the receiver asked for, in seconds from the response, at most a day."""

    raw_detail: str | None = None
    """The error in the words of a library or the receiver: for the record, never for the log."""

    throttled: bool = False
    """Whether the receiver refuses every request at present, whatever this delivery is."""


_DELIVERED = Verdict(Outcome.DELIVERED)


def judge(response: HttpResponse, now: UnixMs) -> Verdict:
    """Return the verdict on an attempt's response, or on its absence."""
    raw_detail = quoted(response.raw_detail)
    if response.failure is not None:
        return Verdict(response.failure, response.error or response.failure, raw_detail=raw_detail)
    status = response.status_code or 0
    if status // 100 == 2:
        if response.error is None:
            return _DELIVERED
        error = f"HTTP {status} counts, but {response.error}"
        return Verdict(Outcome.DELIVERED, error, raw_detail=raw_detail)
    if status // 100 not in _CLASSES:
        error = f"HTTP {status} is not an HTTP status: answer with one from 200 to 299"
        return Verdict(Outcome.PROTOCOL, error, raw_detail=raw_detail)
    retry_after_s = _seconds(response.retry_after, now)
    if status // 100 == 3:
        raw_detail = quoted(response.location)
    throttled = status == _TOO_MANY_REQUESTS or (
        status == _UNAVAILABLE and retry_after_s is not None
    )
    return Verdict(
        _outcome(status, retry_after_s),
        _error(status, response, retry_after_s),
        retry_after_s,
        raw_detail,
        throttled,
    )


def internal_error_text(error: Exception) -> str:
    """Return the text for an internal error. The error's own words are left out, because they may
    quote a secret.
    """
    return f"internal error ({type(error).__name__}): see Ringback's log, and please report it"


def quoted(text: str | None) -> str | None:
    """Return the beginning of an untrusted text, in characters that are safe in a terminal."""
    if text is None:
        return None
    kept = "".join(
        character if character.isprintable() else "\ufffd" for character in text[:QUOTED_CHARACTERS]
    )
    return kept if len(text) <= QUOTED_CHARACTERS else f"{kept}…"


def _outcome(status: int, retry_after_s: float | None) -> Outcome:
    if status == _GONE:
        return Outcome.GONE
    if status == _TOO_MANY_REQUESTS or retry_after_s is not None:
        return Outcome.THROTTLED
    return _CLASSES[status // 100]


def _error(status: int, response: HttpResponse, retry_after_s: float | None) -> str:
    text = f"HTTP {status}"
    if status // 100 == 3:
        text += f": a redirect to {_host(response.location)} is not followed."
        text += " Save the address that the receiver moved to"
    elif hint := _HINTS.get(status):
        text += f": {hint}"
    if retry_after_s is not None:
        text += f", to be tried again after {retry_after_s:.0f} s"
    return text if response.error is None else f"{text}; {response.error}"


def _host(location: str | None) -> str:
    """Return only the host of a redirect: path and query may be a secret of the receiver, and the
    text goes into the log.
    """
    if not location:
        return "nowhere"
    try:
        host = urlsplit(location).hostname
    except ValueError:
        return "an unreadable address"
    if host is None:
        return "another path"
    return host if _HOST.fullmatch(host) else "an unreadable address"


def _seconds(retry_after: str | None, now: UnixMs) -> float | None:
    """Return the seconds of a `Retry-After`, which holds seconds or a date (RFC 9110, section
    10.2.3). Return None for nonsense, as for no header.
    """
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after), LONGEST_PAUSE_S)
    try:
        moment = email.utils.parsedate_to_datetime(retry_after)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(_utc(moment).timestamp() - now / 1000, 0.0), LONGEST_PAUSE_S)


def _utc(moment: datetime) -> datetime:
    """Return the time in UTC: the obsolete formats name no zone, and mean UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
