"""Refused requests of one token: few rows of the request log, each of which says how many requests
it stands for.

A client that keeps calling with a revoked token, or with a mistyped address, by malice or by a
forgotten job, must not fill the log: past the bound a request is counted on the row before it.
Pure: the clock is passed in. Called by `store.request_log.writer`, under its lock.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from schemas.errors import TooManyRequests
from schemas.ids import RequestId, TokenId
from schemas.request_log import LoggedRequest
from schemas.times import UnixMs
from schemas.tokens.tokens import TokenState

STRICT_MS, STRICT_ROWS = 1_000, 1
"""The rows in so many milliseconds of a token that is not active, or beyond its rate. Each row says
why it is refused. More rows: they fill the log. Fewer: less is seen of who calls.
"""

WINDOW_MS, WINDOW_ROWS = 10_000, 10
"""The rows in so many milliseconds of an active token. They are allowed in one burst, so that a
developer who tries things out finds each mistake. More rows: they fill the log. Fewer: some of
these mistakes are missing.
"""

MOST_LEFT = 5_000
"""Rows of past windows whose count has grown and that are not written yet: some 3 MB, 40 at worst.
More: more memory while the log is full. Fewer: when many tokens are refused at once, some rows
stand for too few requests.
"""

_STRICT = frozenset({TooManyRequests.slug, *(state.value for state in TokenState)})

_Key = tuple[TokenId, bool]


@dataclass
class _Window:
    """The latest rows of one token."""

    began_at: UnixMs
    """When the request of the first row came."""
    opened_s: float
    """The same by the monotonic clock, which goes on when no request comes."""
    rows: int
    last: LoggedRequest
    unwritten: bool = False
    """Whether the last row has grown since it was returned to be written."""


class Refusals:
    """The refused requests of all tokens, each for the time of its window.

    Bounded by that time, and by the number of tokens: secrets of no token are not logged. `dropped`
    is called with the number of rows that stay as they were written first, because too many wait.
    """

    def __init__(self, dropped: Callable[[int], None]) -> None:
        self._dropped = dropped
        self._windows: dict[_Key, _Window] = {}
        self._left: list[LoggedRequest] = []  # of windows that are over, grown and not yet written

    def row_for(self, entry: LoggedRequest, now_s: float) -> RequestId:
        """Return the id of the row on which a request counts.

        That is its own row, which is to be written then, or the row before.
        """
        strict = entry.reason in _STRICT
        length_ms, most = (STRICT_MS, STRICT_ROWS) if strict else (WINDOW_MS, WINDOW_ROWS)
        key = entry.token_id, strict
        window = self._windows.get(key)
        # a request from before the window: the clock was set back
        if window is None or abs(entry.at - window.began_at) >= length_ms:
            self._keep(window)
            self._windows[key] = _Window(entry.at, now_s, 1, entry)
        elif window.rows < most:
            self._keep(window)
            window.rows, window.last, window.unwritten = window.rows + 1, entry, False
        else:
            window.last = msgspec.structs.replace(
                window.last, count=window.last.count + entry.count
            )
            window.unwritten = True
            return window.last.id
        return entry.id

    def grown(self, now_s: float) -> list[LoggedRequest]:
        """Return the rows whose count has grown since the last call, to be written again.

        Forgets windows that are over.
        """
        left, self._left = self._left, []
        for key, window in list(self._windows.items()):
            if window.unwritten:
                left.append(window.last)
                window.unwritten = False
            if (now_s - window.opened_s) * 1000 >= (STRICT_MS if key[1] else WINDOW_MS):
                del self._windows[key]
        return left

    def _keep(self, window: _Window | None) -> None:
        """Keep the last row of a window before another row replaces it.

        It may wait here for as long as the store is unavailable.
        """
        if window is None or not window.unwritten:
            return
        if len(self._left) < MOST_LEFT:
            self._left.append(window.last)
        else:
            self._dropped(1)
