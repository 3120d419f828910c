"""Every problem of the API with advice and an example. The error's docstring says what happened.

Shown on the problems' pages and in the guide.
"""

from http import HTTPStatus
from typing import NamedTuple

import msgspec

from api.http.responses import PROBLEM_JSON, problem_response
from schemas import errors
from schemas.errors import (
    MAX_REPORTED,
    Conflict,
    Fault,
    Forbidden,
    HeadTooLarge,
    InternalError,
    Invalid,
    Malformed,
    MethodNotAllowed,
    NoDispatcher,
    NotFound,
    PreconditionFailed,
    Problem,
    RequestTimeout,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from web.problems import INTERNAL_ERROR


class DocumentedProblem(NamedTuple):
    """A problem as its page shows it."""

    slug: str
    title: str
    status: int
    happened: str
    remedy: str
    example: str
    """A whole response, as it is sent."""


def problems() -> dict[str, type[Problem]]:
    """Return every problem by slug."""
    return {
        error.slug: error
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, Problem) and error is not Problem
    }


def documented_problems() -> dict[str, DocumentedProblem]:
    """Return every problem's documentation by slug, ordered by status."""
    ordered = sorted(problems().values(), key=lambda problem: problem.status)
    return {problem.slug: _documented(problem) for problem in ordered}


def _documented(problem: type[Problem]) -> DocumentedProblem:
    remedy, example = _ADVICE[problem]
    return DocumentedProblem(
        problem.slug,
        problem.title,
        problem.status,
        " ".join((problem.__doc__ or "").split()),
        remedy,
        _response(example),
    )


def _response(problem: Problem) -> str:
    head = [
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}",
        f"Content-Type: {PROBLEM_JSON}",
    ]
    head += [f"{name}: {value}" for name, value in problem.headers.items()]
    body = msgspec.json.format(problem_response(problem).get_data(), indent=2).decode()
    return "\n".join([*head, "X-Request-Id: req_01a2087f0001", "", body])


class _Advice(NamedTuple):
    remedy: str
    example: Problem


_WAIT = {"Retry-After": "1"}
_ADVICE: dict[type[Problem], _Advice] = {
    Malformed: _Advice(
        "Send complete JSON in UTF-8. Check what your program really sends, for example by printing"
        " the body. The same request gets the same response again.",
        Malformed("JSON is malformed at line 3, column 41: expecting ',' delimiter"),
    ),
    Unauthenticated: _Advice(
        "Send `Authorization: Bearer rbk_…` with the complete token, and nothing before or after"
        " it. The detail says what is wrong with the token. A scheduled token works from its"
        " activation on. An administrator of the chat platform can resume a suspended token, and"
        " give an expired one a later date. A token that was revoked or replaced never works again:"
        " ask for a new one.",
        Unauthenticated(
            "the token is expired", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}
        ),
    ),
    Forbidden: _Advice(
        "Ask an administrator of the chat platform to give your token the permission that the"
        " detail names. It takes effect within a second; the token stays the same.",
        Forbidden("the token lacks the permission events:publish (Publish events)"),
    ),
    NotFound: _Advice(
        "Check the address and the id in it. An event can be read within a second after it was"
        " accepted. Data older than the retention time is deleted, and what your token may not see"
        " is not shown to it.",
        NotFound("there is no delivery dlv_28e7bd7c_evt_01"),
    ),
    MethodNotAllowed: _Advice(
        "Use one of the methods that `Allow` names.",
        MethodNotAllowed(
            "this address allows GET, HEAD, OPTIONS", headers={"Allow": "GET, HEAD, OPTIONS"}
        ),
    ),
    RequestTimeout: _Advice(
        "Send a request as soon as you have it, as a whole, and repeat this one. If it happens"
        " often, look for a slow line, or for a program that announces more than it sends.",
        RequestTimeout("the body of the request was not sent within 60 s: send it at once"),
    ),
    Conflict: _Advice(
        "Read the current state again; the detail says what prevents the request. Repeating the"
        " request helps only once the state has changed.",
        Conflict("the token is suspended: only callbacks of an active token are called"),
    ),
    PreconditionFailed: _Advice(
        "Compare `current` with what you meant to save. If it is still to be saved, send the request"
        " again with the `ETag` of a new `GET` in `If-Match`. The request had no effect.",
        PreconditionFailed(
            "the token was changed since you read it: `current` is what stands there now",
            extra={"current": {"id": "tok_01a2087f", "name": "ACME CRM 2"}},
        ),
    ),
    TooLarge: _Advice(
        "Send less: put files behind a URL, and split many events into several batches. The same"
        " request gets the same response again.",
        TooLarge("the body is larger than 262144 bytes: send less"),
    ),
    UnsupportedMediaType: _Advice(
        "Send the header `Content-Type` with the type that this address accepts, which is usually"
        " `application/json`, and send the body without `Content-Encoding`.",
        UnsupportedMediaType(
            "send JSON with the header `Content-Type: application/json`; this request has"
            " text/plain"
        ),
    ),
    Invalid: _Advice(
        "Correct what `errors` points at: each `pointer` (RFC 6901) leads to a place in the body"
        " that you sent, or names a parameter. All faults are listed, or the first"
        f" {MAX_REPORTED} of them, and `more_errors` says how many more there are. The request had no"
        " effect.",
        Invalid(
            "an event is invalid",
            faults=[Fault("the required field id is missing", "/data/message")],
        ),
    ),
    TooManyRequests: _Advice(
        "Wait as many seconds as `Retry-After` says, then continue more slowly. Refused requests"
        " have no effect. After many requests with wrong tokens an address has to wait as well:"
        " correct the token first.",
        TooManyRequests(
            "this token may make 10 requests a second: wait, then send more slowly", headers=_WAIT
        ),
    ),
    HeadTooLarge: _Advice(
        "Send fewer and shorter headers and parameters. Cookies of other systems at the same"
        " address are the usual cause.",
        HeadTooLarge(
            "the request line and headers are larger than 65536 bytes, or there are more than 100"
            " headers: send less"
        ),
    ),
    InternalError: _Advice(
        "Retry after a while. If it happens again, give the `X-Request-Id` of the response to the"
        " operator of this Ringback: the log explains the error under this id.",
        InternalError(INTERNAL_ERROR),
    ),
    Unavailable: _Advice(
        "Repeat the request after as many seconds as `Retry-After` says. An event may have been"
        " stored nevertheless: repeat it with its own id, or with the ids in `ids`, and it is not"
        " accepted twice.",
        Unavailable(
            "not all events could be stored durably: repeat the request with these ids",
            headers=_WAIT,
            extra={"ids": ["evt_01a2087f0001"]},
        ),
    ),
    NoDispatcher: _Advice(
        "Ask the operator of this Ringback whether a dispatcher is running and reaches the"
        " database: `ringback doctor` and the dispatcher's `/readyz` show it. Then request the test"
        " again.",
        NoDispatcher("no dispatcher made the attempt within 17 s: check that one is running"),
    ),
}
