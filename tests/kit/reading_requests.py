"""A request reader without a socket. Called by the tests of what is read and what is refused."""

from schemas.errors import Problem
from tests.kit.served import FakeApplication
from web.server.limits import BodyMemory, Limits
from web.server.messages import Request
from web.server.reader import RequestReader


class Reading:
    """A reader, and what it read of some pieces."""

    def __init__(self, *pieces: bytes, limits: Limits | None = None):
        self.application, self.limits = FakeApplication(), limits or Limits()
        self.memory = BodyMemory(self.limits)
        self.reader = RequestReader(self.application, self.limits, self.memory, "192.0.2.1")
        for piece in pieces:
            self.reader.feed(piece)

    @property
    def requests(self) -> list[Request]:
        return [incoming.request for incoming in self.reader.ready if incoming.request]

    @property
    def problem(self) -> Problem | None:
        """Why it read no further."""
        return self.reader.ready[-1].problem if self.reader.ready else None


def only(data: bytes) -> Request:
    """The one request that these bytes are."""
    reading = Reading(data)
    (request,) = reading.requests
    assert reading.problem is None
    return request
