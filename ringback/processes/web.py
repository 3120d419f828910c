"""The API's server inside one embedded process: cheroot's threads beside the event loop."""

import errno
import threading

from cheroot.wsgi import Server

from ringback.setting_values import Address
from schemas.errors import RingbackError

THREADS = 32
"""Requests handled at once. Fewer: clients wait while commits are awaited. More only take turns."""

_BACKLOG = 1024
_KEPT_CONNECTIONS = 1000  # cheroot keeps 10 by default: more clients would reconnect for every request
_STOP_LIMIT_S = 5


class CannotListen(RingbackError):
    """Somebody else listens there, or nobody may."""

    def __init__(self, address: Address, setting: str, error: OSError):
        taken = error.errno == errno.EADDRINUSE
        why = "is taken: stop what listens there," if taken else f"cannot be listened on ({error.strerror or error}):"
        super().__init__(f"{address} {why} {'or ' if taken else ''}set {setting} to another host:port")


class WebServer:
    """Serves one WSGI application. Build it (which binds the port), `start` it, `stop` it."""

    def __init__(self, application: object, address: Address, setting: str = "RINGBACK_LISTEN", threads: int = THREADS):
        self._server = Server(
            (address.host, address.port), application, numthreads=threads, request_queue_size=_BACKLOG, shutdown_timeout=_STOP_LIMIT_S
        )
        self._server.keep_alive_conn_limit = _KEPT_CONNECTIONS
        try:
            self._server.prepare()
        except OSError as error:
            raise CannotListen(address, setting, error) from error
        self._thread = threading.Thread(target=self._server.serve, name="web", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer what has been asked, then close. Blocks for some seconds at most."""
        self._server.stop()
        self._thread.join()
