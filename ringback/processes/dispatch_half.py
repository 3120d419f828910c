"""The dispatching half of a process: from its sources to settled deliveries, until it is told to
stop.
"""

import asyncio
import resource
import signal
import traceback
from typing import Any

import ringback
from consumers.maintenance.alert_relay import AlertRelay
from consumers.maintenance.retention_sweeper import RetentionSweeper
from consumers.worker import LEASE_MARGIN_S, Worker
from dispatcher.alert_sender import AlertSender
from dispatcher.backoff import RetrySchedule
from dispatcher.dispatcher import Dispatcher
from dispatcher.http.sender import Sender
from exchange.port import Claimer
from ringback.parts import Parts
from schemas.log_events import LogEvent
from schemas.tokens.secrets import signing_key

DRAIN_MARGIN_S = 1.0
"""Of `DRAIN_TIMEOUT` kept back for closing connections after what is in flight has ended."""

_USER_AGENT = f"Ringback/{ringback.__version__}"

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class DispatchHalf:
    """Build it on a running event loop."""

    def __init__(self, parts: Parts):
        allow_many_connections()
        settings = parts.settings
        timeout_s = settings.timeout.total_seconds()
        self._parts = parts
        self._limit_s = settings.drain_timeout.total_seconds() - DRAIN_MARGIN_S
        self._notifications = parts.notifications()
        self._sender = Sender(
            asyncio.get_running_loop(),
            parts.policy,
            timeout_s=timeout_s,
            connect_timeout_s=settings.connect_timeout.total_seconds(),
        )
        self._sources = parts.sources()
        schedule = RetrySchedule(settings.retry_schedule)
        self._worker = Worker(
            parts.database,
            parts.directory,
            self._sources,
            parts.observer,
            timeout_s,
            schedule.total,
        )
        self._dispatcher = Dispatcher(
            self._sender,
            parts.directory,
            schedule,
            settings.disable_after,
            settings.callback_concurrency,
            _USER_AGENT,
            self._worker.unsettled.put_down,
            parts.observer,
            asyncio.get_running_loop().call_later,
        )
        self._sweeper = RetentionSweeper(parts.database, settings.retention, parts.observer)
        self._alerting = AlertRelay(
            parts.database, self._alert_sender(), parts.observer, timeout_s + LEASE_MARGIN_S
        )

    @property
    def in_flight(self) -> int:
        return self._dispatcher.in_flight

    @property
    def connected(self) -> bool:
        """Whether messages can come from everywhere they may wait."""
        return all(source.connected() for source in self._sources)

    @property
    def claimer(self) -> Claimer:
        return self._worker.claimer

    def start(self) -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: self._internal_error(context)
        )
        self._notifications.start()
        self._worker.start(self._dispatcher)
        self._alerting.start()
        self._sweeper.start()

    async def watch(self, stop: asyncio.Event) -> None:
        """Until `stop`, or until a part dies of a mistake of ours; `drain` raises that."""
        self._worker.failed.add_done_callback(lambda _: stop.set())
        await stop.wait()
        self._parts.stopping.set()
        self._parts.observer.log(LogEvent.DRAIN_STARTED, limit_s=self._limit_s)

    async def drain(self) -> None:
        await asyncio.gather(
            *(
                part(self._limit_s)
                for part in (self._worker.drain, self._alerting.stop, self._sweeper.stop)
            )
        )
        self._sender.close()
        await asyncio.to_thread(self._notifications.close)
        if self._worker.failed.done():
            self._worker.failed.result()

    def _alert_sender(self) -> AlertSender | None:
        settings = self._parts.settings
        if settings.alert_url is None:
            return None
        keys = [signing_key(secret) for secret in settings.alert_secret]
        return AlertSender(
            self._sender,
            settings.alert_url,
            keys,
            RetrySchedule(settings.retry_schedule),
            _USER_AGENT,
        )

    def _internal_error(self, context: dict[str, Any]) -> None:
        error = context.get("exception") or RuntimeError(context["message"])
        self._parts.observer.log(
            LogEvent.INTERNAL_ERROR,
            error=repr(error),
            trace="".join(traceback.format_exception(error)),
        )
        self._worker.fail(error)


def allow_many_connections() -> None:
    """Every attempt in flight is a descriptor: a service manager's usual soft limit of 1,024 is
    soon reached.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def stop_on_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; a second one changes nothing: the drain has a limit of
    its own.
    """
    stop = asyncio.Event()
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def ignore_signals() -> None:
    """When all that is left is to close things: the loop's end would bring back the default action,
    and a signal that comes then would end the process in the middle of that.
    """
    for number in STOP_SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
