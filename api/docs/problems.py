"""Every problem that the API answers: what to do about it, and an answer as an example. What
happened says the error's docstring.

For the pages at the problems' addresses and the document to download.
"""

from http import HTTPStatus
from typing import NamedTuple

import msgspec

from api.http.responses import PROBLEM_JSON, problem_response
from schemas import errors
from schemas.errors import (
    MOST_TOLD,
    Conflict,
    Fault,
    Forbidden,
    InternalError,
    Invalid,
    Malformed,
    MethodNotAllowed,
    NoDispatcher,
    NotFound,
    Problem,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)


class DocumentedProblem(NamedTuple):
    """One kind of problem. `example` is a whole answer, as it goes over the line."""

    slug: str
    title: str
    status: int
    happened: str
    remedy: str
    example: str


def problems() -> dict[str, type[Problem]]:
    """Every problem, by slug."""
    known = [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, Problem) and one is not Problem
    ]
    return {one.slug: one for one in known}


def described() -> dict[str, DocumentedProblem]:
    """By slug, in the order of their statuses."""
    return {
        one.slug: _described(one) for one in sorted(problems().values(), key=lambda one: one.status)
    }


def _described(problem: type[Problem]) -> DocumentedProblem:
    remedy, example = _ADVICE[problem]
    return DocumentedProblem(
        problem.slug,
        problem.title,
        problem.status,
        " ".join((problem.__doc__ or "").split()),
        remedy,
        _answer(example),
    )


def _answer(problem: Problem) -> str:
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
        "Send JSON in UTF-8, whole: look at what your program really sends, for example with its body printed. Repeating the same "
        "request gives the same answer.",
        Malformed("JSON is malformed at line 3, column 41: expecting ',' delimiter"),
    ),
    Unauthenticated: _Advice(
        "Send `Authorization: Bearer rbk_…`, with the whole token, and nothing before or after it. The detail says what is wrong with it. "
        "A token that is scheduled works from its activation on; one that is suspended can be resumed, and one that is expired given a "
        "later date, by an administrator of the chat platform; one that was revoked or replaced never works again: ask for a new one.",
        Unauthenticated(
            "the token is expired", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}
        ),
    ),
    Forbidden: _Advice(
        "Ask an administrator of the chat platform to give your token the permission that the detail names. It holds within a second; "
        "the token stays the same.",
        Forbidden("the token lacks the permission events:publish (Publish events)"),
    ),
    NotFound: _Advice(
        "Check the address and the id in it. An event can be read up to a second after it was accepted; what is older than is kept is "
        "gone; what your token may not see is not shown to it.",
        NotFound("there is no delivery dlv_28e7bd7c_evt_01"),
    ),
    MethodNotAllowed: _Advice(
        "Use one of the methods that `Allow` names.",
        MethodNotAllowed(
            "this address takes GET, HEAD, OPTIONS", headers={"Allow": "GET, HEAD, OPTIONS"}
        ),
    ),
    Conflict: _Advice(
        "Look at the thing again: the detail says what is in the way. Repeating the request helps only once that has changed.",
        Conflict("the token is suspended: only an active one is called"),
    ),
    TooLarge: _Advice(
        "Send less: files belong behind a URL, many events into several batches. Repeating the same request gives the same answer.",
        TooLarge("the body is larger than 262144 bytes"),
    ),
    UnsupportedMediaType: _Advice(
        "Send the header `Content-Type` with what this address takes, which for most is `application/json`, and the body without "
        "`Content-Encoding`.",
        UnsupportedMediaType(
            "send JSON, and say so with `Content-Type: application/json`; this came as text/plain"
        ),
    ),
    Invalid: _Advice(
        "Mend what `errors` points at: each `pointer` (RFC 6901) leads to a place in the body that you sent, or names a parameter. All faults "
        f"are listed, or the first {MOST_TOLD} of them, and `more_errors` says how many more there are. Nothing of the request was done.",
        Invalid(
            "an event breaks the rules",
            faults=[Fault("the required field id is missing", "/data/message")],
        ),
    ),
    TooManyRequests: _Advice(
        "Wait as many seconds as `Retry-After` says, then go on, more slowly. Requests that are refused do no harm and change nothing. After "
        "many requests with wrong tokens an address has to wait as well: mend the token first.",
        TooManyRequests("more than 10 requests a second", headers=_WAIT),
    ),
    InternalError: _Advice(
        "Repeat the request after a while. If it comes again, give the `X-Request-Id` of the answer to those who run this Ringback: their "
        "log tells under that id what went wrong.",
        InternalError(
            "this is a mistake of ours; the log has it under this request's X-Request-Id"
        ),
    ),
    Unavailable: _Advice(
        "Repeat the request after as many seconds as `Retry-After` says. An event may have been stored all the same: repeat it with the id "
        "that you gave it, or with those in `ids`, and it is not taken twice.",
        Unavailable(
            "nothing durable took everything; repeat with these ids",
            headers=_WAIT,
            extra={"ids": ["evt_01a2087f0001"]},
        ),
    ),
    NoDispatcher: _Advice(
        "Ask those who run this Ringback whether a dispatcher is running and reaches the database: `ringback doctor` and the dispatcher's "
        "`/readyz` tell. Then ask for the test again.",
        NoDispatcher("no dispatcher made the attempt within 17 s: is one running?"),
    ),
}
