"""What a dispatcher answers on `METRICS_LISTEN`: `/healthz` (alive), `/readyz` (can deliver, or
what is missing) and `/metrics`.

`ringback.processes.dispatch` serves it. The API has its own routes for these.
"""

import traceback
from collections.abc import Callable, Mapping
from http import HTTPStatus

import orjson

from schemas.errors import MethodNotAllowed, NotFound, Problem, Unavailable
from schemas.log_events import LogEvent
from schemas.observer import Observer
from web.server.messages import Answer, Request
from web.server.threads import RequestThreads

_PROBLEM = "application/problem+json"


class HealthFront:
    """What the HTTP server asks (`web.server.messages.Front`). `missing` returns what keeps
    this process from its work, by part, in words; empty means nothing. `render` returns the metrics
    and their content type, and may block.
    """

    def __init__(
        self,
        missing: Callable[[], Mapping[str, str]],
        render: Callable[[], tuple[bytes, str]],
        observer: Observer,
    ):
        self._missing, self._render, self._observer = missing, render, observer
        self._threads = RequestThreads()

    def body_limit(self, _method: str, _path: str) -> int:
        """Return 0: no body is read."""
        return 0

    def is_known(self, _request: Request) -> bool:
        """Return False: there are no callers with tokens."""
        return False

    async def answer(self, request: Request) -> Answer:
        """Answer a request."""
        if request.path not in {"/healthz", "/readyz", "/metrics"}:
            return self.refuse(NotFound("the paths are /healthz, /readyz and /metrics"))
        if request.method not in {"GET", "HEAD"}:
            return self.refuse(
                MethodNotAllowed("only GET and HEAD are allowed", headers={"Allow": "GET, HEAD"})
            )
        if request.path == "/metrics":
            return await self._metrics()
        missing = self._missing() if request.path == "/readyz" else {}
        if missing:
            return self.refuse(
                Unavailable(f"not ready: {', '.join(missing)}", extra={"missing": missing})
            )
        status = "alive" if request.path == "/healthz" else "ready"
        return _answer(HTTPStatus.OK, "application/json", orjson.dumps({"status": status}))

    async def _metrics(self) -> Answer:
        try:
            body, content_type = await self._threads.handle(self._render)
        except Unavailable as problem:
            return self.refuse(problem)
        return _answer(HTTPStatus.OK, content_type, body)

    def refuse(self, problem: Problem) -> Answer:
        """Answer with a problem by RFC 9457, as the API does."""
        body = {
            "type": f"/docs/problems/{problem.slug}",
            "title": problem.title,
            "status": problem.status,
            "detail": problem.detail,
            **problem.extra,
        }
        return _answer(problem.status, _PROBLEM, orjson.dumps(body), problem.headers)

    def close(self) -> None:
        """End its threads."""
        self._threads.close()

    def report(self, error: Exception) -> None:
        """Log an error that cannot be answered any more."""
        self._observer.log(
            LogEvent.REQUEST_FAILED,
            error=repr(error),
            trace="".join(traceback.format_exception(error)),
        )


def _answer(
    status: int, content_type: str, body: bytes, more: Mapping[str, str] | None = None
) -> Answer:
    headers = {"Content-Type": content_type, "Cache-Control": "no-store"} | dict(more or {})
    return Answer(status, list(headers.items()), body)
