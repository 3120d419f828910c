"""Errors, as one tree. Each error says what happened and what to do.

RingbackError
├── Problem                  an error response of the API: RFC 9457, one slug and page each
│   ├── Malformed            400
│   ├── Unauthenticated      401
│   ├── Forbidden            403
│   ├── NotFound             404
│   ├── MethodNotAllowed     405
│   ├── RequestTimeout       408
│   ├── Conflict             409
│   ├── PreconditionFailed   412
│   ├── TooLarge             413
│   ├── UnsupportedMediaType 415
│   ├── Invalid              422
│   ├── TooManyRequests      429
│   ├── HeadTooLarge         431
│   ├── InternalError        500
│   └── Unavailable          503
│       └── NoDispatcher     503
├── InvalidEvent             a message is not an event: its faults by JSON pointer
├── StoreUnavailable         the database does not answer: retry
│   └── StatementTimedOut    the database answers, but this statement took too long: ask for less
├── StoreRefused             the database refuses this data: retrying is useless
│   └── Unstorable           the data holds what no row can hold: a fault of the input
├── SecretUnreadable         an encrypted value cannot be decrypted with the configured keys
├── ExchangeUnavailable      neither broker nor outbox accepted the message
└── UsageError               wrong settings or arguments: one line, exit 2
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

MAX_REPORTED = 50
"""Faults that one response lists. More: a program that repeats one mistake in a thousand rows gets
a response that no one reads. Fewer: more requests until all faults are known.
"""

MAX_COUNTED = 2500
"""Faults that are searched for. More: a client that sends nothing but faults uses more processor
time. Fewer: the faults of a full batch are not counted exactly.
"""


class Fault(NamedTuple):
    """One thing that is wrong with an input."""

    detail: str
    """What is wrong and what to do, in one sentence."""

    pointer: str
    """An RFC 6901 pointer into the input; `""` is the whole."""


def left_out(faults: Sequence[Fault]) -> str:
    """Return the text for the faults beyond those that are listed."""
    at_least = "at least " if len(faults) >= MAX_COUNTED else ""
    return f"and {at_least}{len(faults) - MAX_REPORTED} more"


class RingbackError(Exception):
    """The root of all errors raised on purpose."""


class InvalidEvent(RingbackError):
    """A message that is not a valid event."""

    def __init__(self, faults: Sequence[Fault], *, malformed: bool = False):
        """Make the error from its faults; `malformed` when the message is not even JSON."""
        reported = [
            f"{fault.detail} at {fault.pointer or 'the top'}" for fault in faults[:MAX_REPORTED]
        ]
        if len(faults) > MAX_REPORTED:
            reported.append(left_out(faults))
        super().__init__("; ".join(reported))
        self.faults = tuple(faults)
        self.malformed = malformed


class StoreUnavailable(RingbackError):
    """The database did not answer in time, or reported that it cannot now."""


class StatementTimedOut(StoreUnavailable):
    """The database cancelled this one statement: it took too long (SQLSTATE 57014), or another
    transaction kept a lock (55P03). Other statements may succeed, so the store counts as available.
    """


class StoreRefused(RingbackError):
    """The database refuses the data itself (SQLSTATE 22 and 23), and would refuse it again."""


class Unstorable(StoreRefused):
    """A value that no row could have, such as a text with U+0000: an input that the driver refuses
    before the database sees it.
    """


class SecretUnreadable(RingbackError):
    """An encrypted column cannot be decrypted with any of the secret keys, or was copied to another
    row. The text never contains the secret.
    """


class ExchangeUnavailable(RingbackError):
    """Nothing durable accepted the message. Not raised when the message may have been accepted."""


class UsageError(RingbackError):
    """Settings or arguments that cannot work, in one line that names the wrong one."""


class Problem(RingbackError):
    """An error response of the API. Subclasses fix `status`, `slug` and `title`."""

    status: ClassVar[int]
    """The HTTP status."""

    slug: ClassVar[str]
    """The last part of the problem's `type`, which never changes once published."""

    title: ClassVar[str]
    """The problem's `title`, the same for each occurrence."""

    def __init__(
        self,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
    ):
        """Make a problem.

        `detail` says what happened and what to do. `faults` become the member `errors`, `headers`
        are added to the response, and `extra` holds further members.
        """
        super().__init__(detail)
        self.detail = detail
        self.faults = tuple(faults)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


class Malformed(Problem):
    """The body is not JSON, or not UTF-8, so that no part of it could be read."""

    status, slug, title = 400, "malformed", "Malformed request"


class Unauthenticated(Problem):
    """The token is missing, wrong, scheduled, suspended, expired or revoked."""

    status, slug, title = 401, "unauthenticated", "Valid API access token required"


class Forbidden(Problem):
    """The token is valid, but lacks the permission that this request needs."""

    status, slug, title = 403, "permission-missing", "Permission missing"


class NotFound(Problem):
    """Nothing exists at this address: it never did, or it was deleted after `RETENTION`."""

    status, slug, title = 404, "not-found", "Not found"


class MethodNotAllowed(Problem):
    """The address exists, but not with this method; `Allow` lists its methods."""

    status, slug, title = 405, "method-not-allowed", "Method not allowed"


class RequestTimeout(Problem):
    """The client did not send the whole request in time; the connection is closed."""

    status, slug, title = 408, "request-timeout", "Request not sent in time"


class Conflict(Problem):
    """The request is valid, but the current state does not allow it."""

    status, slug, title = 409, "conflict", "Conflict with the current state"


class PreconditionFailed(Problem):
    """What `If-Match` names is no longer what stands there: someone else changed it meanwhile.
    `current` is the token as it is now.
    """

    status, slug, title = 412, "precondition-failed", "Changed by someone else"


class TooLarge(Problem):
    """The body is over 256 KiB (a batch: over 8 MiB)."""

    status, slug, title = 413, "too-large", "Request too large"


class UnsupportedMediaType(Problem):
    """The body's declared type is wrong: this address expects JSON, or a form for introspection."""

    status, slug, title = 415, "unsupported-media-type", "Unsupported media type"


class Invalid(Problem):
    """The body was read, but is invalid; `errors` lists each fault by JSON pointer."""

    status, slug, title = 422, "invalid", "Invalid request"


class TooManyRequests(Problem):
    """The token or address makes more requests than it may; `Retry-After` says when to retry."""

    status, slug, title = 429, "too-many-requests", "Too many requests"


class HeadTooLarge(Problem):
    """The request line and headers are over 64 KiB, or there are over 100 headers."""

    status, slug, title = 431, "head-too-large", "Request headers too large"


class InternalError(Problem):
    """Ringback has a bug. The log shows the error under the request id."""

    status, slug, title = 500, "internal-error", "Internal server error"


class Unavailable(Problem):
    """The service cannot do this at present; `Retry-After` says when to retry."""

    status, slug, title = 503, "unavailable", "Service unavailable"


class NoDispatcher(Unavailable):
    """A test was requested, but no dispatcher made the attempt in time."""

    slug, title = "no-dispatcher", "No dispatcher answered"
