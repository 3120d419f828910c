"""What an answer means for its delivery: judged once, here, and never again downstream. Pure; the
time is passed in.
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
"""Of what a receiver or a library wrote, in an attempt's record. Larger: more to read for people; a
header may have 100 KB.
"""

_HINTS = {
    401: "the receiver wants to know who calls. Set its credentials as a header of the callback",
    403: "the receiver does not allow the call. Check the headers of the callback, and the receiver's firewall",
    404: "the receiver has nothing at this path. Check the callback's URL",
    405: "the receiver takes no POST there. Check the callback's URL",
    410: "the receiver wants no more",
    413: "the receiver takes no events of this size. Raise its limit to 300 KB",
    415: "the receiver takes no application/json there. Check the callback's URL",
    429: "the receiver takes no more at present",
}
_HOST = re.compile(r"[a-z0-9._:-]{1,253}")
_CLASSES = {3: Outcome.HTTP_3XX, 4: Outcome.HTTP_4XX, 5: Outcome.HTTP_5XX}
_GONE, _TOO_MANY_REQUESTS, _UNAVAILABLE = 410, 429, 503


class Verdict(msgspec.Struct, frozen=True):
    """`error` says in words of ours what went wrong; beside `DELIVERED`, what was wrong with the rest of the answer. `behind` is what a
    library or the receiver said about it, for the record alone. `retry_after_s` counts from the answer, at most a day. `throttled`: the
    receiver speaks of itself and not of the delivery: it takes no more at present.
    """

    outcome: Outcome
    error: str | None = None
    retry_after_s: float | None = None
    behind: str | None = None
    throttled: bool = False


_DELIVERED = Verdict(Outcome.DELIVERED)


def judge(answer: HttpResponse, now: UnixMs) -> Verdict:
    """The verdict on one attempt's answer, or on there being none."""
    behind = quoted(answer.behind)
    if answer.failure is not None:
        return Verdict(answer.failure, answer.error or answer.failure, behind=behind)
    status = answer.status_code or 0
    if status // 100 == 2:
        return (
            _DELIVERED
            if answer.error is None
            else Verdict(
                Outcome.DELIVERED, f"HTTP {status} counts, but {answer.error}", behind=behind
            )
        )
    if status // 100 not in _CLASSES:
        return Verdict(
            Outcome.PROTOCOL,
            f"HTTP {status} is no status that HTTP knows: answer with one from 200 to 299",
            behind=behind,
        )
    retry_after_s = _seconds(answer.retry_after, now)
    if status // 100 == 3:
        behind = quoted(answer.location)
    throttled = status == _TOO_MANY_REQUESTS or (
        status == _UNAVAILABLE and retry_after_s is not None
    )
    return Verdict(
        _outcome(status, retry_after_s),
        _words(status, answer, retry_after_s),
        retry_after_s,
        behind,
        throttled,
    )


def internal_error_text(error: Exception) -> str:
    """Of a mistake of ours. Without the error's own words, which may quote a secret that it choked
    on.
    """
    return f"a mistake of Ringback's, {type(error).__name__}: its log says where. Please report it"


def quoted(words: str | None) -> str | None:
    """Words that may be a stranger's: their beginning, in characters that harm no terminal."""
    if words is None:
        return None
    kept = "".join(
        character if character.isprintable() else "\ufffd"
        for character in words[:QUOTED_CHARACTERS]
    )
    return kept if len(words) <= QUOTED_CHARACTERS else f"{kept}…"


def _outcome(status: int, retry_after_s: float | None) -> Outcome:
    if status == _GONE:
        return Outcome.GONE
    if status == _TOO_MANY_REQUESTS or retry_after_s is not None:
        return Outcome.THROTTLED
    return _CLASSES[status // 100]


def _words(status: int, answer: HttpResponse, retry_after_s: float | None) -> str:
    words = f"HTTP {status}"
    if status // 100 == 3:
        words += f": a redirect to {_place(answer.location)} is not followed. Save the address that the receiver moved to"
    elif hint := _HINTS.get(status):
        words += f": {hint}"
    if retry_after_s is not None:
        words += f", to be tried again after {retry_after_s:.0f} s"
    return words if answer.error is None else f"{words}; {answer.error}"


def _place(location: str | None) -> str:
    """Of a redirect no more than the host: path and query may be the receiver's secret, and these
    words go into the log.
    """
    if not location:
        return "nowhere"
    try:
        host = urlsplit(location).hostname
    except ValueError:
        return "a place that cannot be read"
    if host is None:
        return "another path"
    return host if _HOST.fullmatch(host) else "a place that cannot be read"


def _seconds(retry_after: str | None, now: UnixMs) -> float | None:
    """RFC 9110, section 10.2.3: seconds or a date. Nonsense is ignored, as if nothing had been
    said.
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
    """The obsolete formats name no zone, and mean UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
