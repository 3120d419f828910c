"""The API for production: worker processes with one event loop each. The parent only watches; each
worker creates its own parts.
"""

import asyncio
import contextlib
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Sequence

import uvloop

from ringback.observability.log import AtOnce
from ringback.observability.metrics import MULTIPROCESS_FOLDER
from ringback.processes.interpreter import (
    allow_many_connections,
    favour_event_loop,
    settle,
    share_memory,
)
from ringback.processes.stopping import ignore_signals, stop_on_signals
from ringback.processes.workers import run_workers
from ringback.settings import Settings
from ringback.temporary_folder import temporary_folder
from web.server.sockets import listen

_STOP_TIMEOUT_S = 35.0
"""How long a worker may take to stop: its requests, then what waits for the broker or the outbox,
then the request log.
"""


def api(settings: Settings, workers: int) -> None:
    """Serve until a signal. A worker that dies is replaced. Raises CannotListen, and RingbackError
    without a temporary folder.
    """
    # The parent keeps every socket: clients that the kernel gave to a worker that died wait for the
    # next one.
    sockets = listen(*settings.listen, "RINGBACK_LISTEN", workers)
    temporary_folder()
    log = AtOnce(1, pretty=sys.stdout.isatty())
    logging.basicConfig(handlers=[log], level=logging.WARNING, force=True)
    with tempfile.TemporaryDirectory(prefix="ringback-metrics-") as folder:
        # Before the workers are forked, which count into files there.
        os.environ[MULTIPROCESS_FOLDER] = folder
        run_workers(
            lambda number: _work(settings, sockets, number),
            workers,
            before_stop=lambda: _close(sockets),
            stop_timeout_s=_STOP_TIMEOUT_S,
            log=log,
        )


def _work(settings: Settings, sockets: Sequence[socket.socket], number: int) -> None:
    share_memory()
    allow_many_connections()
    favour_event_loop()
    for other in sockets:
        if other is not sockets[number]:
            other.close()
    uvloop.run(_serve(settings, sockets[number]))


def _close(sockets: Sequence[socket.socket]) -> None:
    """Let clients be refused once the workers accept no more: they would wait for no one."""
    for listening in sockets:
        listening.close()


async def _serve(settings: Settings, listening: socket.socket) -> None:
    from api.application import create_app  # here: the parent needs none of it
    from api.front import ApiFront
    from dashboard.application import create_pages
    from ringback.parts import gather
    from ringback.processes.site_front import SiteFront
    from web.server.server import HttpServer
    from web.server.threads import RequestThreads

    stop = stop_on_signals()
    # Closed in reverse order: requests, then their events.
    async with contextlib.AsyncExitStack() as closing:
        closing.callback(ignore_signals)
        parts = gather(settings)
        closing.push_async_callback(asyncio.to_thread, parts.close)
        publisher = parts.publisher()
        closing.push_async_callback(publisher.close)
        parts.gatherer.add(lambda: {"broker_connected": float(publisher.connected())})
        threads = RequestThreads()
        closing.callback(threads.close)
        api_parts = parts.api_parts(publisher, threads)
        pages = create_pages(parts.page_parts(publisher, threads, api_parts.callback_tests))
        front = ApiFront(create_app(api_parts), api_parts)
        server = HttpServer(SiteFront(front, pages, threads))
        settle()
        await server.start([listening])
        closing.push_async_callback(server.stop)
        await stop.wait()
        parts.stopping.set()
