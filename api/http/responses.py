"""Answers as bytes: JSON, and problems of RFC 9457. Called by the routes and the application."""

from http import HTTPStatus

import msgspec
from flask import Response

from schemas.errors import MOST_TOLD, Problem, left_out
from schemas.texts import shortened

_MOST_DETAIL, _MOST_POINTER = 1000, 200
"""Characters. What repeats something that was sent does so in few of them anyway: this holds
whatever repeats it. More: a body of megabytes with one slip in it is answered with as many. Fewer:
our own words, such as every permission's name, are cut off.
"""

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
PROBLEM_PAGES = "/docs/problems/"


def json_response(answer: object, status: int = HTTPStatus.OK) -> Response:
    return Response(msgspec.json.encode(answer), status, content_type=JSON)


def problem_response(problem: Problem) -> Response:
    """Pointers are RFC 6901, into the body as it was sent; query parameters are pointed at by their
    name. Of very many faults the first are told, and how many more there are.
    """
    body: dict[str, object] = {
        "type": PROBLEM_PAGES + problem.slug,
        "title": problem.title,
        "status": problem.status,
        "detail": shortened(problem.detail, _MOST_DETAIL),
    }
    if problem.faults:
        body["errors"] = [
            {
                "detail": shortened(fault.detail, _MOST_DETAIL),
                "pointer": shortened(fault.pointer, _MOST_POINTER),
            }
            for fault in problem.faults[:MOST_TOLD]
        ]
    if len(problem.faults) > MOST_TOLD:
        body["detail"] = (
            f"{problem.detail}: the first {MOST_TOLD} faults are in errors, {left_out(problem.faults)}"
        )
        body["more_errors"] = len(problem.faults) - MOST_TOLD
    return Response(
        msgspec.json.encode(body | problem.extra),
        problem.status,
        problem.headers,
        content_type=PROBLEM_JSON,
    )
