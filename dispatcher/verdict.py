"""What an answer means for its delivery: judged once, here, and never again downstream. Pure; the time is passed in."""

import email.utils
from datetime import UTC, datetime

import msgspec

from dispatcher.post import Answer
from schemas.deliveries import Outcome
from schemas.times import UnixMs

MAX_RETRY_AFTER_S = 24 * 3600.0
"""The longest that a receiver may put us off. Larger: a wrong header can outlast the whole retry schedule; smaller: a receiver
that closes for the day is called in vain."""

QUOTED_CHARACTERS = 200
"""Of what a receiver wrote, in an attempt's error. Larger: more to read for people, and a larger log; a header may have 100 KB."""

_CLASSES = {3: Outcome.HTTP_3XX, 4: Outcome.HTTP_4XX, 5: Outcome.HTTP_5XX}
_GONE, _TOO_MANY_REQUESTS = 410, 429


class Verdict(msgspec.Struct, frozen=True):
    """`error` says in words what went wrong, None when delivered. `retry_after_s` counts from the answer, at most a day."""

    outcome: Outcome
    error: str | None = None
    retry_after_s: float | None = None


_DELIVERED = Verdict(Outcome.DELIVERED)


def judge(answer: Answer, now: UnixMs) -> Verdict:
    """The verdict on one attempt's answer, or on there being none."""
    if answer.failure is not None:
        return Verdict(answer.failure, quoted(answer.error or answer.failure))
    status = answer.status_code or 0
    if status // 100 == 2:
        return _DELIVERED
    if status // 100 not in _CLASSES:
        return Verdict(Outcome.PROTOCOL, f"HTTP {status} is no status that HTTP knows")
    retry_after_s = _seconds(answer.retry_after, now)
    return Verdict(_outcome(status, retry_after_s), _words(status, answer, retry_after_s), retry_after_s)


def quoted(words: str) -> str:
    """Words that may be a stranger's: their beginning, in characters that harm no terminal and no log."""
    kept = "".join(character if character.isprintable() else "\ufffd" for character in words[:QUOTED_CHARACTERS])
    return kept if len(words) <= QUOTED_CHARACTERS else f"{kept}…"


def _outcome(status: int, retry_after_s: float | None) -> Outcome:
    if status == _GONE:
        return Outcome.GONE
    if status == _TOO_MANY_REQUESTS or retry_after_s is not None:
        return Outcome.THROTTLED
    return _CLASSES[status // 100]


def _words(status: int, answer: Answer, retry_after_s: float | None) -> str:
    words = f"HTTP {status}"
    if status // 100 == 3:
        words += f": a redirect to {quoted(answer.location or 'nowhere')} is not followed"
    if status == _GONE:
        words += ": the receiver wants no more"
    if retry_after_s is not None:
        words += f", to be tried again after {retry_after_s:.0f} s"
    return words


def _seconds(retry_after: str | None, now: UnixMs) -> float | None:
    """RFC 9110, section 10.2.3: seconds or a date. Nonsense is ignored, as if nothing had been said."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after), MAX_RETRY_AFTER_S)
    try:
        moment = email.utils.parsedate_to_datetime(retry_after)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(_utc(moment).timestamp() - now / 1000, 0.0), MAX_RETRY_AFTER_S)


def _utc(moment: datetime) -> datetime:
    """The obsolete formats name no zone, and mean UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
