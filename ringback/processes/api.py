"""The API for production: granian with worker processes. The parent only watches; each worker
creates its own parts.
"""

import ctypes
import logging
import os
import signal
import socket
import sys
import tempfile
from multiprocessing.util import Finalize
from wsgiref.types import WSGIApplication

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from ringback.observability.log import AtOnce
from ringback.observability.metrics import MULTIPROCESS_FOLDER
from ringback.processes.interpreter import settle, share_memory
from ringback.processes.web import CannotListen
from ringback.setting_values import ListenAddress
from ringback.settings import Settings
from ringback.temporary_folder import temporary_folder

THREADS_IN_ALL = 16
"""Requests handled at once, over all workers. More: they only wait for the GIL; 32 measured no
better with one worker. Fewer: requests wait while commits are awaited; 8 measured no better either.
"""

_BACKLOG = 1024
_GRANIAN = "_granian"
_LOGGING = {"handlers": {}, "loggers": {_GRANIAN: {"handlers": [], "propagate": True}}}
"""granian's lines go where those of all libraries go, in the parent and in the workers."""

_PR_SET_PDEATHSIG = 1
_STOP_MARGIN_S = 5


def api(settings: Settings, workers: int) -> None:
    """Serve until a signal. A worker that dies is replaced. Raises CannotListen, and RingbackError
    without a temporary folder.
    """
    _require_free(settings.listen)
    temporary_folder()
    logging.basicConfig(
        handlers=[AtOnce(1, pretty=sys.stdout.isatty())], level=logging.WARNING, force=True
    )
    logging.getLogger(_GRANIAN).addFilter(_is_news)
    with tempfile.TemporaryDirectory(prefix="ringback-metrics-") as folder:
        # Before the workers are forked, which count into files there.
        os.environ[MULTIPROCESS_FOLDER] = folder
        server = Granian(
            "ringback",
            address=settings.listen.host,
            port=settings.listen.port,
            interface=Interfaces.WSGI,
            workers=workers,
            blocking_threads=max(4, THREADS_IN_ALL // workers),
            backlog=_BACKLOG,
            websockets=False,
            log_level=LogLevels.warning,
            log_dictconfig=_LOGGING,
            respawn_failed_workers=True,
            workers_kill_timeout=int(settings.timeout.total_seconds()) + _STOP_MARGIN_S,
        )
        server.serve(target_loader=lambda: worker_application(settings), wrap_loader=False)
        # It has stopped: another signal must not end it in the middle of leaving.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)


def _is_news(record: logging.LogRecord) -> bool:
    """Drop the advice on the number of threads, which was measured and cannot be configured."""
    return "Python threads" not in record.getMessage()


def worker_application(settings: Settings) -> WSGIApplication:
    """Create the application in a worker. What it starts is ended when the worker exits."""
    _die_with_parent()
    share_memory()
    from api.application import create_app  # here: the parent needs none of it
    from ringback.parts import gather

    parts = gather(settings)
    publisher = parts.publisher()
    parts.gatherer.add(lambda: {"broker_connected": float(publisher.connected())})
    # granian's workers are multiprocessing's children, which leave without `atexit`. The higher
    # priority goes first.
    Finalize(None, publisher.close, exitpriority=20)
    Finalize(None, parts.close, exitpriority=10)
    application = create_app(parts.api_parts(publisher))
    settle()
    return application


def _require_free(address: ListenAddress) -> None:
    """Raise CannotListen for a port in use. granian binds with SO_REUSEPORT, which would share it
    with another process that does.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        # Refused too where the kernel has no IPv6.
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address.host, address.port))
    except OSError as error:
        raise CannotListen(address, "RINGBACK_LISTEN", error) from error


def _die_with_parent() -> None:
    """End this worker when its parent is killed. It would go on without one that watches it."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
