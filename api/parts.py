"""What the application is built from. `ringback` puts it together; nothing here connects, reads the
environment or starts a thread.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from exchange.port import Publisher
from schemas.observer import Observer
from schemas.readiness import Readiness
from schemas.tokens.target_policy import Network, TargetPolicy
from store.directory.directory import Directory
from store.engine.database import Database
from store.request_log.writer import RequestLog
from store.tokens.callbacks import Callbacks
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from web.callback_tests import CallbackTests
from web.rate_limits import Buckets, RateLimit, unknown_token_throttle
from web.server.threads import RequestThreads


@dataclass(frozen=True)
class CallTerms:
    """How this installation calls callbacks, as the guide for suppliers states it."""

    timeout: timedelta
    """The total timeout of one attempt, from connecting to the end of the response."""
    connect_timeout: timedelta
    """The timeout of connecting, including TLS."""
    retry_delays: Sequence[timedelta]
    """The delays after the first, second, … failed attempt."""
    concurrency: int
    """Requests at a time to one callback from one dispatcher."""
    disable_after: timedelta
    """A callback is disabled after this long without a success."""
    retention: timedelta
    """How long events and deliveries are kept."""


@dataclass(frozen=True)
class ApiParts:
    """The collaborators and settings of the API, passed to the views that ask for `parts`."""

    database: Database
    vault: Vault
    directory: Directory
    publisher: Publisher
    loop: asyncio.AbstractEventLoop
    """The event loop that the publisher lives on."""
    threads: RequestThreads
    """For what may block."""
    observer: Observer
    policy: TargetPolicy
    """Which callbacks may be saved."""
    public_url: str
    """The address under which callers reach this API, for the documents."""
    timeout_s: float
    """The total timeout of one attempt: how long a test of a callback may take."""
    call_terms: CallTerms
    request_log: RequestLog
    trusted_proxies: Sequence[Network]
    """The proxies whose statements about their clients are believed."""
    rate_limit: float | None
    """Requests a second per token; None: unlimited."""
    token_max_life: timedelta | None
    """The longest life that may be given to a token; None: it may be valid for ever."""
    platform_docs_url: str | None
    """Where the chat platform documents its own API, if it does."""
    metrics: Callable[[], tuple[bytes, str]]
    """Returns body and content type of `/metrics`."""
    readiness: Callable[[], Readiness]
    """Returns whether events can be accepted, and what is missing."""
    version: str
    clock_ns: Callable[[], int] = time.monotonic_ns
    """The clock of the rate limits."""

    @property
    def tokens(self) -> Tokens:
        """The tokens in this database."""
        return Tokens(self.database, self.vault, self.token_max_life)

    @property
    def callbacks(self) -> Callbacks:
        """The callbacks in this database."""
        return Callbacks(self.database, self.vault)

    @cached_property
    def callback_tests(self) -> CallbackTests:
        """The tests of callbacks that this process makes."""
        return CallbackTests(self.database, self.threads, self.clock_ns)

    @cached_property
    def limits(self) -> RateLimit | None:
        """The rate limit per token, or None."""
        return None if self.rate_limit is None else RateLimit(self.rate_limit)

    @cached_property
    def unknown_token_throttle(self) -> Buckets:
        """The throttle for addresses that send unknown tokens."""
        return unknown_token_throttle()
