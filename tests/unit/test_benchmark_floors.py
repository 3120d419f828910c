"""Flask inside the event loop, as the floors answer: what it is given, and when it answers."""

import asyncio
from dataclasses import dataclass, field

from flask import Flask, Response, request

from benchmarks.floor_flask import accepted_after, answer_by_flask, body_of_request


@dataclass
class Asked:
    """A request as granian describes it."""

    method: str = "POST"
    path: str = "/v1/events"
    query_string: str = "a=1"
    client: str = "127.0.0.1:4711"
    scheme: str = "http"
    headers: dict[str, str] = field(
        default_factory=lambda: {"content-type": "application/json", "x-request-id": "req_1"}
    )


class Talk:
    """One exchange: the body that came, and the answers that were sent."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.answers: list[tuple[int, bytes]] = []

    async def __call__(self) -> bytes:
        return self._body

    def response_bytes(self, status: int, _headers: list[tuple[str, str]], body: bytes) -> None:
        self.answers.append((status, body))


async def test_flask_gets_the_request_that_granian_read() -> None:
    """A floor that answered 404 would be fast."""
    app, talk = Flask(__name__), Talk(b"{}")

    @app.post("/v1/events")
    def view() -> Response:
        said = [request.args["a"], request.headers["X-Request-Id"], request.content_type]
        return Response(f"{said} {body_of_request()!r}", 201)

    await answer_by_flask(app, Asked(), talk)

    assert talk.answers == [(201, b"['1', 'req_1', 'application/json'] b'{}'")]


async def test_the_answer_is_sent_once_the_promise_is_kept() -> None:
    """An event that is answered before it is durable would be a floor of something else."""
    app, talk = Flask(__name__), Talk(b"{}")
    promise = asyncio.get_running_loop().create_future()
    app.post("/v1/events")(lambda: accepted_after(promise, b"accepted"))

    answering = asyncio.create_task(answer_by_flask(app, Asked(), talk))
    for _ in range(3):
        await asyncio.sleep(0)
    sent_before = list(talk.answers)
    promise.set_result(None)
    await answering

    assert sent_before == []
    assert talk.answers == [(202, b"accepted")]
