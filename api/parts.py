"""What the application is built from. Put together by `ringback`; nothing here connects, reads the
environment or starts a thread.
"""

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
from web.rate_limits import Buckets, RateLimit, damping


@dataclass(frozen=True)
class CallTerms:
    """How callbacks are called here, for the document that tells suppliers. `retry_delays` follow the 1st, 2nd, … failed attempt,
    `concurrency` is that of one callback in one dispatcher.
    """

    timeout: timedelta
    connect_timeout: timedelta
    retry_delays: Sequence[timedelta]
    concurrency: int
    disable_after: timedelta
    retention: timedelta


@dataclass(frozen=True)
class ApiParts:
    """`timeout_s` is that of one attempt, `rate_limit` requests a second of each token (None: no limit), `trusted_proxies` those who
    are believed whom they speak for. `readiness` says whether events can be accepted, and what is missing.

    `metrics` gives the body and the content type of `/metrics`. `clock_ns` is what limits count by.
    """

    database: Database
    vault: Vault
    directory: Directory
    publisher: Publisher
    observer: Observer
    policy: TargetPolicy
    public_url: str
    timeout_s: float
    call_terms: CallTerms
    request_log: RequestLog
    trusted_proxies: Sequence[Network]
    rate_limit: float | None
    platform_docs_url: str | None
    metrics: Callable[[], tuple[bytes, str]]
    readiness: Callable[[], Readiness]
    version: str
    clock_ns: Callable[[], int] = time.monotonic_ns

    @property
    def tokens(self) -> Tokens:
        return Tokens(self.database, self.vault)

    @cached_property
    def limits(self) -> RateLimit | None:
        """Of each token; None: none."""
        return None if self.rate_limit is None else RateLimit(self.rate_limit)

    @cached_property
    def damping(self) -> Buckets:
        """Of addresses from which unknown tokens come."""
        return damping()

    @property
    def callbacks(self) -> Callbacks:
        return Callbacks(self.database, self.vault)
