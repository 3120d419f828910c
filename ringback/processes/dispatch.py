"""The process of a dispatcher, which serves only its own health and metrics."""

import asyncio

import uvloop

from ringback.parts import Parts, gather
from ringback.processes.dispatch_half import DispatchHalf, ignore_signals, stop_on_signals
from ringback.processes.health_app import HealthApp
from ringback.processes.interpreter import settle, share_memory
from ringback.processes.web import WebServer
from ringback.settings import Settings

_HEALTH_THREADS = 2


def dispatch(settings: Settings) -> None:
    """Dispatch until a signal. Raises CannotListen when the address for metrics is not free."""
    share_memory()
    parts = gather(settings)
    try:
        uvloop.run(_dispatch(parts))
    finally:
        parts.close()


async def _dispatch(parts: Parts) -> None:
    stop = stop_on_signals()
    dispatching, returned = DispatchHalf(parts), parts.returned()
    health = HealthApp(
        lambda: parts.missing(None if dispatching.connected else "cannot reach the broker"),
        parts.metrics.render,
    )
    web = WebServer(
        health, parts.settings.metrics_listen, "RINGBACK_METRICS_LISTEN", threads=_HEALTH_THREADS
    )
    parts.gatherer.add(
        lambda: {
            "in_flight": dispatching.in_flight,
            "broker_connected": float(dispatching.connected),
        }
    )
    settle()
    dispatching.start()
    if returned is not None:
        returned.start()
    web.start()
    try:
        await dispatching.watch(stop)
    finally:
        try:
            await asyncio.gather(
                dispatching.drain(), *([] if returned is None else [returned.close()])
            )
        finally:
            await asyncio.to_thread(web.stop)
            ignore_signals()
