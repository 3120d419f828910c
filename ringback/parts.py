"""The parts of a process, each created here, by URL scheme where there is a choice.

Importing this starts nothing. Called by `ringback.processes`.
"""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ringback
from api.parts import ApiParts, CallTerms
from dashboard.parts import PageParts
from exchange.failover import FailoverPublisher
from exchange.outbox.dead_letters import OutboxDeadLetters
from exchange.outbox.publisher import OutboxPublisher
from exchange.outbox.source import OutboxSource
from exchange.port import Claimer, Publisher, Source
from exchange.rabbit.admin import depths
from exchange.rabbit.policy_watch import BrokerWatch
from exchange.rabbit.publisher import RabbitPublisher
from exchange.rabbit.returned import RabbitReturned
from exchange.rabbit.source import RabbitSource
from ringback.observability.gauges import Gatherer, Gauges
from ringback.observability.log import Log, standard_output
from ringback.observability.metrics import Metrics
from ringback.observability.observer import Observing
from ringback.openid import openid_provider
from ringback.private_files import make_database_file
from ringback.secret_key import cookie_keys, secret_keys
from ringback.settings import Settings
from schemas.errors import StoreUnavailable
from schemas.readiness import Readiness
from schemas.tokens.target_policy import TargetPolicy
from schemas.tokens.tokens import CallbackState, TokenState
from store.directory.directory import Directory
from store.engine.database import Database
from store.engine.notifications import NotificationListener
from store.request_log.writer import RequestLog
from store.stats import gauges
from store.tokens.vault import Vault
from web.callback_tests import CallbackTests
from web.server.threads import RequestThreads

_PROCESS = "process"
"""The name of the process itself among what is missing."""


@dataclass(frozen=True)
class Parts:
    """What every process has. `gather` creates it and `close` ends what it started."""

    settings: Settings
    database: Database
    vault: Vault
    directory: Directory
    request_log: RequestLog
    policy: TargetPolicy
    gatherer: Gatherer
    metrics: Metrics
    log: Log
    observer: Observing
    stopping: threading.Event
    """Set once this process was asked to stop."""
    watch: BrokerWatch | None
    """Watches the broker's policies once there is a publisher; None without a broker."""

    def publisher(self, claimer: Claimer | None = None) -> Publisher:
        """Return a publisher, started on the running event loop: the broker with the outbox behind
        it, or the outbox alone, with the claimer of the same process.
        """
        outbox = OutboxPublisher(self.database, self.settings.outbox_max, self.observer)
        if not self.settings.broker_url:
            outbox.claimer = claimer
            outbox.start()
            return outbox
        assert self.watch is not None
        self.watch.start()
        broker = RabbitPublisher(self.broker_url, self.observer, self.watch, self.returned())
        publisher = FailoverPublisher(broker, outbox, self.observer)
        publisher.start()
        return publisher

    def sources(self) -> list[Source]:
        """Return every source of messages, started on the running event loop. The outbox is always
        one, as a broker may have been unavailable.
        """
        outbox = OutboxSource(self.database)
        outbox.start()
        if not self.settings.broker_url:
            return [outbox]
        broker = RabbitSource(self.broker_url, self.observer, self.database)
        broker.start()
        return [broker, outbox]

    def returned(self) -> RabbitReturned | None:
        """Return what accepts again the messages that the broker gave up, to be started on a
        running event loop. None without a broker.
        """
        if self.watch is None:
            return None
        return RabbitReturned(self.broker_url, self.database, self.observer, self.watch.gave_up)

    def notifications(self) -> NotificationListener:
        """Return the listener for the database's notifications, not started."""
        return NotificationListener(self.database, self.observer)

    @property
    def broker_url(self) -> str:
        """The broker's URLs as one text; empty without a broker."""
        return ";".join(self.settings.broker_url)

    def queue_depth(self) -> int | None:
        """Return how many messages wait at the broker; None without one. Raises
        ExchangeUnavailable.
        """
        return depths(self.broker_url).dispatch if self.settings.broker_url else None

    def api_parts(self, publisher: Publisher, threads: RequestThreads) -> ApiParts:
        """Return what the API's views are given. Called on the event loop."""
        return ApiParts(
            database=self.database,
            vault=self.vault,
            directory=self.directory,
            publisher=publisher,
            loop=asyncio.get_running_loop(),
            threads=threads,
            observer=self.observer,
            policy=self.policy,
            public_url=self.settings.public_url,
            timeout_s=self.settings.timeout.total_seconds(),
            call_terms=_call_terms(self.settings),
            request_log=self.request_log,
            trusted_proxies=self.settings.trusted_proxies,
            rate_limit=self.settings.rate_limit,
            token_max_life=self.settings.token_max_life,
            platform_docs_url=self.settings.platform_docs_url,
            metrics=self.metrics.render,
            readiness=lambda: self.readiness(publisher.trouble()),
            version=ringback.__version__,
        )

    def page_parts(
        self,
        publisher: Publisher,
        threads: RequestThreads,
        callback_tests: CallbackTests,
        first_steps: Callable[[], Sequence[str]] = tuple,
    ) -> PageParts:
        """Return what the pages are given. `callback_tests` are those of the API in this process,
        so that both count them together.
        """
        return PageParts(
            database=self.database,
            vault=self.vault,
            directory=self.directory,
            threads=threads,
            observer=self.observer,
            policy=self.policy,
            public_url=self.settings.public_url,
            cookie_keys=cookie_keys(self.settings),
            trusted_proxies=self.settings.trusted_proxies,
            timeout_s=self.settings.timeout.total_seconds(),
            max_life=self.settings.token_max_life,
            platform_docs_url=self.settings.platform_docs_url,
            readiness=lambda: self.readiness(publisher.trouble()),
            gauges=self.gatherer,
            first_steps=first_steps,
            version=ringback.__version__,
            callback_tests=callback_tests,
            viewers_see_payloads=self.settings.viewers_see_payloads,
            openid=openid_provider(self.settings),
            local_sign_in=self.settings.local_sign_in,
        )

    def readiness(self, broker_trouble: str | None) -> Readiness:
        """Return whether this process can make events durable, for which broker or database is
        enough.
        """
        lacking = self.missing(broker_trouble)
        durable = "database" not in lacking or (
            self.settings.broker_url and "broker" not in lacking
        )
        return Readiness(bool(durable) and _PROCESS not in lacking, lacking)

    def missing(self, broker_trouble: str | None) -> dict[str, str]:
        """Return what keeps this process from some of its work, by part, in words."""
        missing = {}
        if self.stopping.is_set():
            missing[_PROCESS] = "it is stopping"
        if not self.directory.fresh():
            missing["database"] = f"{self.directory.trouble}: the last known tokens are used"
        if broker_trouble:
            missing["broker"] = f"{broker_trouble}: events go through the outbox"
        return missing

    def close(self) -> None:
        """Stop all threads and close all connections."""
        if self.watch is not None:
            self.watch.close()
        self.request_log.close()
        self.directory.close()
        self.database.close()
        self.metrics.close()
        self.log.close()


def gather(settings: Settings) -> Parts:
    """Create everything but what serves or sends. Starts the threads of the log, the metrics, the
    directory and the request log.
    """
    make_database_file(settings.sqlite_path)
    vault = Vault(secret_keys(settings))
    gatherer = Gatherer()
    metrics = Metrics(ringback.__version__, gatherer)
    metrics.start()
    log = standard_output(pretty=sys.stdout.isatty(), dropped=metrics.log_lines_dropped.inc)
    observer = Observing(metrics, log)
    database = Database(settings.database_url)
    directory = Directory(database, vault, observer)
    directory.start()
    request_log = RequestLog(database, metrics.requests_unlogged.inc, observer)
    request_log.start()
    gatherer.add_costly(lambda: _store_gauges(database, settings.broker_url))
    gatherer.add(lambda: {"database_connected": float(directory.fresh())})
    if settings.broker_url:
        gatherer.add_costly(lambda: _broker_gauges(";".join(settings.broker_url), database))
    policy = TargetPolicy(settings.allow_targets, settings.allow_http)
    watch = BrokerWatch(";".join(settings.broker_url), observer) if settings.broker_url else None
    return Parts(
        settings=settings,
        database=database,
        vault=vault,
        directory=directory,
        request_log=request_log,
        policy=policy,
        gatherer=gatherer,
        metrics=metrics,
        log=log,
        observer=observer,
        stopping=threading.Event(),
        watch=watch,
    )


def _call_terms(settings: Settings) -> CallTerms:
    return CallTerms(
        settings.timeout,
        settings.connect_timeout,
        settings.retry_schedule,
        settings.callback_concurrency,
        settings.disable_after,
        settings.retention,
    )


def _store_gauges(database: Database, broker_url: tuple[str, ...]) -> Gauges:
    read = gauges.read(database)
    return ({} if broker_url else {"dead_letters": read.outbox_dead}) | {
        "deliveries_due": read.deliveries_due,
        "deliveries_due_oldest_seconds": read.deliveries_due_oldest_s,
        "events_oldest_seconds": read.events_oldest_s,
        "outbox_depth": read.outbox_depth,
        "outbox_oldest_seconds": read.outbox_oldest_s,
        "callbacks": _by_state(read.callbacks),
        "tokens": _by_state(read.tokens),
    }


def _broker_gauges(url: str, database: Database) -> Gauges:
    """Read the broker's gauges. Dead letters that the broker does not accept are in the outbox, so
    their sum is unknown while either is unavailable.
    """
    queues = depths(url)
    values: dict[str, float] = {"queue_depth": queues.dispatch}
    with contextlib.suppress(StoreUnavailable):
        values["dead_letters"] = queues.dead + OutboxDeadLetters(database).count()
    return values


def _by_state(
    counts: Mapping[CallbackState, int] | Mapping[TokenState, int],
) -> Mapping[str, float]:
    return {str(state): float(count) for state, count in counts.items()}
