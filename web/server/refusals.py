"""The problems with which the server itself refuses a request. Pure."""

from schemas.errors import HeadTooLarge, Malformed, RequestTimeout, TooLarge, Unavailable
from web.server.limits import Limits


def malformed(fault: object) -> Malformed:
    """Return the refusal of what cannot be read, or could be read differently."""
    return Malformed(f"this is not a valid HTTP request: {fault}")


def head_too_large(limits: Limits) -> HeadTooLarge:
    """Return the refusal of a request line and headers, of trailers, or of chunk extensions."""
    return HeadTooLarge(
        f"the request line and headers are larger than {limits.head_bytes} bytes, or there are"
        f" more than {limits.header_lines} headers: send less"
    )


def body_too_large(limit_bytes: int) -> TooLarge:
    """Return the refusal of a body that is larger than its address takes."""
    return TooLarge(f"the body is larger than {limit_bytes} bytes: send less")


def no_room() -> Unavailable:
    """Return the refusal of a body while those of all clients take too much memory."""
    return Unavailable(
        "too many bodies are being received at present: retry later", headers={"Retry-After": "1"}
    )


def timeout(part: str, limit_s: float) -> RequestTimeout:
    """Return the refusal of a client that did not send the head or the body in time."""
    return RequestTimeout(
        f"the {part} of the request was not sent within {limit_s:g} s: send it at once"
    )
