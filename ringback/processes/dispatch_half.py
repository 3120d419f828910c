"""The dispatching half of a process, from its sources to settled deliveries.

Called by the processes `serve` and `dispatch`.
"""

import asyncio
import datetime as dt
import traceback
from collections.abc import Mapping
from typing import Any

import ringback
from consumers.loop import Loop
from consumers.maintenance.alert_relay import AlertRelay
from consumers.maintenance.figure_compactor import FigureCompactor
from consumers.maintenance.figure_sampler import FigureSampler
from consumers.maintenance.mailer import Mailer
from consumers.maintenance.retention_sweeper import RetentionSweeper
from consumers.worker import LEASE_MARGIN_S, Worker
from dispatcher.alert_sender import AlertSender
from dispatcher.backoff import RetrySchedule
from dispatcher.dispatcher import Dispatcher
from dispatcher.http.sender import Sender
from dispatcher.mail_sender import MailSender
from exchange.port import Claimer
from ringback.mail_server import mail_server
from ringback.parts import Parts
from schemas.log_events import LogEvent
from schemas.tokens.secrets import signing_key
from web.server.connection import Connection

DRAIN_MARGIN_S = 1.0
"""The part of `DRAIN_TIMEOUT` for closing connections after the drain. Larger: attempts in flight
have less time. Smaller: the process may be killed while it closes.
"""

_USER_AGENT = f"Ringback/{ringback.__version__}"


class DispatchHalf:
    """Everything that dispatches in one process. Create it on a running event loop."""

    def __init__(self, parts: Parts):
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
            sources=self._sources,
            observer=parts.observer,
            timeout_s=timeout_s,
            horizon=schedule.total,
        )
        self._dispatcher = self._new_dispatcher(schedule)
        self._jobs = self._upkeep(timeout_s + LEASE_MARGIN_S)
        self._mailer = self._new_mailer()

    def _upkeep(self, lease_s: float) -> list[Loop]:
        """Return the jobs that no delivery waits for."""
        settings, parts = self._parts.settings, self._parts
        return [
            AlertRelay(
                parts.database, self._alert_sender(), observer=parts.observer, lease_s=lease_s
            ),
            RetentionSweeper(parts.database, settings.retention, parts.observer),
            FigureSampler(parts.database, parts.observer, parts.queue_depth),
            FigureCompactor(parts.database, parts.observer),
        ]

    def _new_mailer(self) -> Mailer | None:
        settings, parts = self._parts.settings, self._parts
        if settings.smtp_url is None or settings.mail_from is None:
            return None
        return Mailer(
            parts.database,
            MailSender(mail_server(settings.smtp_url), settings.mail_from),
            observer=parts.observer,
            public_url=settings.public_url,
            disable_after_ms=settings.disable_after // dt.timedelta(milliseconds=1),
        )

    def _new_dispatcher(self, schedule: RetrySchedule) -> Dispatcher:
        settings, parts = self._parts.settings, self._parts
        return Dispatcher(
            self._sender,
            parts.directory,
            schedule=schedule,
            disable_after=settings.disable_after,
            concurrency=settings.callback_concurrency,
            user_agent=_USER_AGENT,
            on_settlement=self._worker.unsettled.settle,
            observer=parts.observer,
            call_later=asyncio.get_running_loop().call_later,
        )

    @property
    def in_flight(self) -> int:
        """The number of attempts that wait for their answer."""
        return self._dispatcher.in_flight

    @property
    def connected(self) -> bool:
        """Whether every source can deliver messages."""
        return all(source.connected() for source in self._sources)

    @property
    def claimer(self) -> Claimer:
        """Claims events together with their publication, in embedded mode."""
        return self._worker.claimer

    def start(self) -> None:
        """Start to dispatch."""
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: self._internal_error(context)
        )
        self._notifications.start()
        self._worker.start(self._dispatcher)
        for job in self._jobs:
            job.start()
        if self._mailer is not None:
            self._mailer.start()

    async def watch(self, stop: asyncio.Event) -> None:
        """Wait for `stop`, or for a bug that ends the worker, which `drain` raises."""
        self._worker.failed.add_done_callback(lambda _: stop.set())
        await stop.wait()
        self._parts.stopping.set()
        self._parts.observer.log(LogEvent.DRAIN_STARTED, limit_s=self._limit_s)

    async def drain(self) -> None:
        """Finish what is in flight, within `DRAIN_TIMEOUT`. Raises what ended the worker."""
        stops = [self._worker.drain, *(job.stop for job in self._jobs)]
        await asyncio.gather(*(stop(self._limit_s) for stop in stops))
        if self._mailer is not None:
            await asyncio.to_thread(self._mailer.close)
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
            keys=keys,
            schedule=RetrySchedule(settings.retry_schedule),
            user_agent=_USER_AGENT,
        )

    def _internal_error(self, context: Mapping[str, Any]) -> None:
        error = context.get("exception") or RuntimeError(context["message"])
        self._parts.observer.log(
            LogEvent.INTERNAL_ERROR,
            error=repr(error),
            trace="".join(traceback.format_exception(error)),
        )
        # A bug that a client's connection meets costs this connection, which is closed by now.
        if not isinstance(context.get("protocol"), Connection):
            self._worker.fail(error)
