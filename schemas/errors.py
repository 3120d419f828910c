"""What can go wrong, as one tree. Each error says what happened and what to do.

RingbackError
├── Problem                  an answer of the API: RFC 9457, one slug and page each
│   ├── Malformed            400
│   ├── Unauthenticated      401
│   ├── Forbidden            403
│   ├── NotFound             404
│   ├── MethodNotAllowed     405
│   ├── Conflict             409
│   ├── TooLarge             413
│   ├── UnsupportedMediaType 415
│   ├── Invalid              422
│   ├── TooManyRequests      429
│   ├── InternalError        500
│   └── Unavailable          503
│       └── NoDispatcher     503
├── InvalidEvent             a message that is no event: its faults by JSON pointer
├── StoreUnavailable         the database does not answer: try again
│   └── StatementTimedOut    it answers, but this statement took longer than any may: ask for less
├── StoreRefused             the database refuses this data: trying again is useless
├── SecretUnreadable         what was encrypted cannot be opened with the keys that are set
├── ExchangeUnavailable      neither broker nor outbox took the message
└── UsageError               wrong settings or arguments: one line, exit 2
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

MOST_TOLD = 50
"""Faults in one answer. More: nobody reads them, and a program that sends a thousand rows with one
slip gets a book for an answer.
"""

MOST_COUNTED = 2500
"""Faults that are looked for. More: who sends nothing but faults keeps a processor busy. Fewer: the
count of a full batch is no count.
"""


class Fault(NamedTuple):
    """One thing wrong with an input: a sentence and an RFC 6901 pointer into what was sent (`""` is
    the whole).
    """

    detail: str
    pointer: str


def left_out(faults: Sequence[Fault]) -> str:
    """How many more there are than are told."""
    return f"and {'at least ' if len(faults) >= MOST_COUNTED else ''}{len(faults) - MOST_TOLD} more"


class RingbackError(Exception):
    """The root of all errors raised on purpose."""


class InvalidEvent(RingbackError):
    """A message that is not a valid event; `malformed` when it is not even JSON."""

    def __init__(self, faults: Sequence[Fault], *, malformed: bool = False):
        told = [f"{fault.detail} at {fault.pointer or 'the top'}" for fault in faults[:MOST_TOLD]]
        super().__init__("; ".join([*told, left_out(faults)] if len(faults) > MOST_TOLD else told))
        self.faults = tuple(faults)
        self.malformed = malformed


class StoreUnavailable(RingbackError):
    """The database did not answer in time, or said that it cannot now."""


class StatementTimedOut(StoreUnavailable):
    """The database is there: it cancelled this one statement for its time (SQLSTATE 57014), or
    because another transaction kept a lock that it needs (55P03). Says nothing about the other
    statements, so the store is not "away".
    """


class StoreRefused(RingbackError):
    """The database refuses the data itself (SQLSTATE 22 and 23): a repetition would be refused
    again.
    """


class SecretUnreadable(RingbackError):
    """An encrypted column that none of the secret keys opens, or that was moved to another row.
    Never names the secret.
    """


class ExchangeUnavailable(RingbackError):
    """Nothing durable took the message. Not said of one that merely may have been taken."""


class UsageError(RingbackError):
    """Settings or arguments that cannot work, in one line that names the culprit."""


class Problem(RingbackError):
    """An error answer of the API. Subclasses fix `status`, `slug` and `title`; the slug never
    changes once published.
    """

    status: ClassVar[int]
    slug: ClassVar[str]
    title: ClassVar[str]

    def __init__(
        self,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
    ):
        super().__init__(detail)
        self.detail = detail
        self.faults = tuple(faults)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


class Malformed(Problem):
    """The body is not JSON, or not UTF-8: nothing in it could be read."""

    status, slug, title = 400, "malformed", "The request cannot be read"


class Unauthenticated(Problem):
    """No token, or one that is wrong, scheduled, suspended, expired or revoked."""

    status, slug, title = 401, "unauthenticated", "A valid API access token is needed"


class Forbidden(Problem):
    """The token is good, but lacks the permission that this call needs."""

    status, slug, title = 403, "permission-missing", "The token lacks a permission"


class NotFound(Problem):
    """Nothing is there: never was, or is gone after `RETENTION`."""

    status, slug, title = 404, "not-found", "There is nothing here"


class MethodNotAllowed(Problem):
    """The address exists, but not with this method; `Allow` names those it has."""

    status, slug, title = 405, "method-not-allowed", "This address does not take that method"


class Conflict(Problem):
    """The request is right, but the thing is in a state that does not allow it."""

    status, slug, title = 409, "conflict", "The state of the thing does not allow this"


class TooLarge(Problem):
    """The body is over 256 KiB (a batch: over 8 MiB)."""

    status, slug, title = 413, "too-large", "The request is too large"


class UnsupportedMediaType(Problem):
    """The body is not declared as what this address takes: JSON, or for checks of tokens a form."""

    status, slug, title = 415, "unsupported-media-type", "This does not take a body of that type"


class Invalid(Problem):
    """The body was read, but breaks the rules; `errors` names each fault by JSON pointer."""

    status, slug, title = 422, "invalid", "The request is not valid"


class TooManyRequests(Problem):
    """More requests than this token or address may make; `Retry-After` says when to go on."""

    status, slug, title = 429, "too-many-requests", "Too many requests"


class InternalError(Problem):
    """A mistake of ours. The log has it under the request id."""

    status, slug, title = 500, "internal-error", "Ringback made a mistake"


class Unavailable(Problem):
    """Nothing can do this just now; `Retry-After` says when to try again."""

    status, slug, title = 503, "unavailable", "Not available just now"


class NoDispatcher(Unavailable):
    """A test was asked for, but no dispatcher took it in time: is one running?"""

    slug, title = "no-dispatcher", "No dispatcher answered"
