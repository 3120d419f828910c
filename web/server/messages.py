"""Requests and answers, as the HTTP server and an application exchange them.

Texts of a request are its bytes read as Latin-1, as in WSGI (PEP 3333).
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from schemas.errors import Problem

Headers = Sequence[tuple[str, str]]


class Request(msgspec.Struct):
    """A request. Its body has been read, or is refused."""

    method: str
    path: str
    """Percent-decoded."""
    query: str
    """Not decoded; empty without one."""
    version: str
    """`1.1` or `1.0`."""
    headers: dict[str, str]
    """By name in lower case. Values of repeated headers are joined by a comma."""
    client: str
    """The peer's IP address; empty if it has none."""
    body: bytes = b""
    refusal: Problem | None = None
    """Why the body was not kept; None: it is complete. An application that needs the body raises
    this; authentication comes first.
    """


class Answer(msgspec.Struct):
    """An answer."""

    status: int
    headers: Headers
    """Without Content-Length, Date, Connection and Transfer-Encoding, which the server adds."""
    body: bytes | AsyncIterator[bytes] = b""
    """An iterator is read no faster than the client takes it. Its `aclose` is called in any
    case.
    """
    length: int | None = None
    """The Content-Length, where it is not that of `body`: of an iterator, if it is known, and of
    the answer to HEAD, which has no body.
    """


class Front(Protocol):
    """What answers requests. Its methods run on the event loop and must not block."""

    def body_limit(self, method: str, path: str) -> int:
        """Return how many bytes of a body are kept for this address."""

    def is_known(self, request: Request) -> bool:
        """Return whether the request's head names a caller that is known. Called while much
        memory is taken by bodies: those of unknown callers are refused first.
        """

    async def answer(self, request: Request) -> Answer:
        """Answer a request. Does not raise."""

    def refuse(self, problem: Problem) -> Answer:
        """Answer a client whose request could not be read."""

    def report(self, error: Exception) -> None:
        """Log an unexpected error that cannot be answered any more."""
