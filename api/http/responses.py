"""Responses as bytes: JSON, and problems (RFC 9457). Called by the routes and the application."""

from http import HTTPStatus

import msgspec
from flask import Response

from schemas.errors import MAX_REPORTED, Problem, left_out
from schemas.texts import shortened

_MAX_DETAIL, _MAX_POINTER = 1000, 200
"""Characters. Texts that repeat input are short already; this also covers those that are not.
Larger: a body of megabytes with one fault gets a response of megabytes. Smaller: long texts of
ours, such as the list of all permissions, are cut off.
"""

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
PROBLEM_PAGES = "/docs/problems/"


def json_response(body: object, status: int = HTTPStatus.OK) -> Response:
    """Return `body`, usually one of the response models, as JSON."""
    return Response(msgspec.json.encode(body), status, content_type=JSON)


def problem_response(problem: Problem) -> Response:
    """Return a problem as JSON.

    A pointer is an RFC 6901 pointer into the body as it was sent, or the name of a query parameter.
    Of many faults the first are listed, with the number of the others.
    """
    body: dict[str, object] = {
        "type": PROBLEM_PAGES + problem.slug,
        "title": problem.title,
        "status": problem.status,
        "detail": shortened(problem.detail, _MAX_DETAIL),
    }
    if problem.faults:
        body["errors"] = [
            {
                "detail": shortened(fault.detail, _MAX_DETAIL),
                "pointer": shortened(fault.pointer, _MAX_POINTER),
            }
            for fault in problem.faults[:MAX_REPORTED]
        ]
    if len(problem.faults) > MAX_REPORTED:
        body["detail"] = (
            f"{problem.detail}: the first {MAX_REPORTED} faults are in errors,"
            f" {left_out(problem.faults)}"
        )
        body["more_errors"] = len(problem.faults) - MAX_REPORTED
    return Response(
        msgspec.json.encode(body | problem.extra),
        problem.status,
        problem.headers,
        content_type=PROBLEM_JSON,
    )
