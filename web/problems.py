"""Any error as the problem that it is answered with. Called by the API and the pages."""

from werkzeug.exceptions import HTTPException, InternalServerError

from schemas.errors import (
    InternalError,
    Malformed,
    MethodNotAllowed,
    NotFound,
    Problem,
    StoreUnavailable,
    Unavailable,
    Unstorable,
)

INTERNAL_ERROR = (
    "an internal error occurred: retry later, or give the X-Request-Id of this response to the"
    " operator, whose log has the details"
)


def as_problem(error: Exception) -> Problem:
    """Return the problem that an error is answered with."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, StoreUnavailable):
        return Unavailable(
            "the database does not respond: retry later", headers={"Retry-After": "1"}
        )
    if isinstance(error, Unstorable):
        return Malformed("the request holds a character or a number that cannot be stored")
    if not isinstance(error, HTTPException) or isinstance(error, InternalServerError):
        return InternalError(INTERNAL_ERROR)
    if error.code == NotFound.status:
        return no_such_address()
    if error.code == MethodNotAllowed.status:
        allowed = ", ".join(getattr(error, "valid_methods", None) or ())
        return MethodNotAllowed(f"this address allows {allowed}", headers={"Allow": allowed})
    return Malformed(error.description or "the request cannot be read")


def no_such_address() -> Problem:
    """Return the problem of an address where there is nothing."""
    return NotFound("there is nothing at this address: check it")
