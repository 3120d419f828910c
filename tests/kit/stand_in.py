"""A stand-in for the API, for clients: it answers as a test wants, and remembers what came."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class StandIn(ThreadingHTTPServer):
    """A context manager, on a thread of its own. Remembers what is posted; `answer` is given how
    many came before and says the status.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[bytes] = []
        self.tokens: set[str | None] = set()
        self.lock = threading.Lock()
        self.answer: Callable[[int], int] = lambda _before: 202
        self.said: dict[str, Any] = {"detail": "because of the test"}

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]


class _Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        with self.server.lock:
            status = self.server.answer(len(self.server.bodies))
            self.server.bodies.append(body)
            self.server.tokens.add(self.headers["authorization"])
        text = json.dumps(self.server.said).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_words: object) -> None:
        """Not into the test's output."""
