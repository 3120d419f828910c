"""The process of a dispatcher, which serves only its own health and metrics."""

import asyncio

import uvloop

from ringback.parts import Parts, gather
from ringback.processes.dispatch_half import DispatchHalf
from ringback.processes.health_front import HealthFront
from ringback.processes.interpreter import (
    allow_many_connections,
    favour_event_loop,
    settle,
    share_memory,
)
from ringback.processes.stopping import ignore_signals, stop_on_signals
from ringback.settings import Settings
from web.server.server import HttpServer
from web.server.sockets import listen


def dispatch(settings: Settings) -> None:
    """Dispatch until a signal. Raises CannotListen when the address for metrics is not free."""
    share_memory()
    allow_many_connections()
    favour_event_loop()
    parts = gather(settings)
    try:
        uvloop.run(_dispatch(parts))
    finally:
        parts.close()


async def _dispatch(parts: Parts) -> None:
    stop = stop_on_signals()
    dispatching, returned = DispatchHalf(parts), parts.returned()
    sockets = listen(*parts.settings.metrics_listen, "RINGBACK_METRICS_LISTEN")
    health = HealthFront(
        lambda: parts.missing(None if dispatching.connected else "cannot reach the broker"),
        parts.metrics.render,
        parts.observer,
    )
    server = HttpServer(health)
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
    await server.start(sockets)
    try:
        await dispatching.watch(stop)
    finally:
        try:
            await asyncio.gather(
                dispatching.drain(), *([] if returned is None else [returned.close()])
            )
        finally:
            await server.stop()
            health.close()
            ignore_signals()
