"""Everything in one process: one event loop answers requests, publishes and dispatches."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import uvloop

from api.application import create_app
from api.front import ApiFront
from dashboard.application import create_pages
from ringback.parts import Parts, gather
from ringback.private_files import make_database_file
from ringback.processes import lock
from ringback.processes.dispatch_half import DispatchHalf
from ringback.processes.interpreter import (
    allow_many_connections,
    favour_event_loop,
    settle,
    share_memory,
)
from ringback.processes.site_front import SiteFront
from ringback.processes.stopping import ignore_signals, stop_on_signals
from ringback.settings import Settings
from store.engine.database import Database
from store.engine.migrate import upgrade
from store.maintenance.startup import void_leases
from web.server.server import HttpServer
from web.server.sockets import listen
from web.server.threads import RequestThreads


def serve(
    settings: Settings,
    announce: Callable[[Parts], None],
    first_steps: Callable[[], Sequence[str]] = tuple,
) -> None:
    """Serve and dispatch until a signal. `announce` is called once requests are answered, and the
    pages show `first_steps` (`PageParts.first_steps`) from then on. Raises AlreadyRunning and
    CannotListen before anything is changed.
    """
    if settings.sqlite_path is None:
        _run(settings, announce, first_steps)
        return
    make_database_file(settings.sqlite_path)
    with lock.acquire(settings.sqlite_path):
        database = Database(settings.database_url)
        upgrade(database)
        void_leases(database)
        database.close()
        _run(settings, announce, first_steps)


def _run(
    settings: Settings,
    announce: Callable[[Parts], None],
    first_steps: Callable[[], Sequence[str]],
) -> None:
    share_memory()
    allow_many_connections()
    favour_event_loop()
    parts = gather(settings)
    try:
        uvloop.run(_serve(parts, announce, first_steps))
    finally:
        parts.close()


async def _serve(
    parts: Parts,
    announce: Callable[[Parts], None],
    first_steps: Callable[[], Sequence[str]],
) -> None:
    stop = stop_on_signals()
    # Closed in reverse order: requests, then their events, then deliveries.
    async with contextlib.AsyncExitStack() as closing:
        closing.callback(ignore_signals)
        dispatching = DispatchHalf(parts)
        publisher = parts.publisher(dispatching.claimer if parts.settings.embedded else None)
        sockets = listen(*parts.settings.listen, "RINGBACK_LISTEN")
        threads = RequestThreads()
        api_parts = parts.api_parts(publisher, threads)
        pages = create_pages(
            parts.page_parts(publisher, threads, api_parts.callback_tests, first_steps)
        )
        api = ApiFront(create_app(api_parts), api_parts)
        server = HttpServer(SiteFront(api, pages, threads))
        parts.gatherer.add(lambda: {"in_flight": dispatching.in_flight})
        if parts.settings.broker_url:
            parts.gatherer.add(lambda: {"broker_connected": float(publisher.connected())})
        settle()
        dispatching.start()
        closing.push_async_callback(dispatching.drain)
        closing.push_async_callback(publisher.close)
        closing.callback(threads.close)
        await server.start(sockets)
        closing.push_async_callback(server.stop)
        await asyncio.to_thread(announce, parts)
        await dispatching.watch(stop)
