"""Tests of a callback: a dispatcher sends one signed event now, and its attempt is waited for. Called
by the API, in a thread of its requests.
"""

import time
from collections.abc import Callable

from schemas.deliveries.deliveries import Attempt
from schemas.errors import Conflict, NoDispatcher, TooManyRequests
from schemas.events.events import Event
from schemas.ids import AttemptId, CallbackId
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, Token, TokenState
from store.deliveries.requested_attempts import request_test, result_of_test, withdraw_test
from store.engine.database import Database
from web.rate_limits import Buckets, in_seconds
from web.server.threads import RequestThreads

BURST, INTERVAL_NS = 3, 10**9
"""How many tests of one callback may be sent at once, and how long until one more may. More, or
sooner: a button sends more to a receiver that did not ask for it. Less, or later: a person who
corrects the data has to wait.
"""

_POLL_EVERY_S = 0.05
"""Longer: the result of a test is returned later. Shorter: more queries while the receiver has not
answered yet.
"""

_GRACE_S = 2.0
"""In addition to the attempt's own timeout: for a dispatcher to lease the attempt and to record it.
Longer: without a dispatcher the caller waits longer. Shorter: a busy dispatcher is reported as
missing.
"""


class CallbackTests:
    """The tests that are made by one process. It counts them by itself."""

    def __init__(
        self, database: Database, threads: RequestThreads, clock_ns: Callable[[], int]
    ) -> None:
        self._database, self._threads, self._clock_ns = database, threads, clock_ns
        self._sent = Buckets(INTERVAL_NS, BURST)

    def send(self, token: Token, callback: Callback, event: Event, timeout_s: float) -> Attempt:
        """Have an event sent to a callback, and return the attempt. `timeout_s` is that of an
        attempt.

        Raises Conflict for a token that is not active, TooManyRequests, and NoDispatcher.
        """
        now = self._database.time()
        require_active(token, now)
        self._count(callback.id)
        with self._threads.pausing() as pause:
            attempt_id = request_test(self._database, event, callback, now)
            return self._wait(event, callback, attempt_id, timeout_s + _GRACE_S, pause)

    def _count(self, callback_id: CallbackId) -> None:
        if wait_ns := self._sent.take(callback_id, self._clock_ns()).wait_ns:
            raise TooManyRequests(
                f"a callback is tested once a second, after {BURST} at once: wait, then test it"
                " again",
                headers={"Retry-After": str(in_seconds(wait_ns))},
            )

    def _wait(
        self,
        event: Event,
        callback: Callback,
        attempt_id: AttemptId,
        limit_s: float,
        pause: Callable[[float], None],
    ) -> Attempt:
        """Poll for the attempt."""
        end_s = time.monotonic() + limit_s
        test = self._database, event.id, callback.id, attempt_id
        while (attempt := result_of_test(*test)) is None:
            if time.monotonic() > end_s:
                withdraw_test(*test)
                raise NoDispatcher(
                    f"no dispatcher made the attempt within {limit_s:g} s: check that one is"
                    " running"
                )
            pause(_POLL_EVERY_S)
        return attempt


def require_active(token: Token, now: UnixMs) -> None:
    """Raise Conflict unless a token is active."""
    state = token.state(now)
    if state is not TokenState.ACTIVE:
        raise Conflict(f"the token is {state.value}: only callbacks of an active token are called")
