"""Refused requests of one token: few rows of the request log, each of which says for how many it
stands.

Who goes on calling with a revoked token, or with a mistyped address, by malice or by a job that
nobody stops, must not fill the log: past the bound a request is counted on the row before it. Pure:
the clock is passed in. Called by `request_log`, under its lock.
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
"""Rows in how many milliseconds of a token that is not active, or beyond its rate. Why it is
refused says each of them. More: it fills the log. Fewer: less is seen of who calls.
"""

WINDOW_MS, WINDOW_ROWS = 10_000, 10
"""Of an active token. More at once than a row a second: whoever tries things out finds each of its
mistakes.
"""

MOST_LEFT = 5_000
"""Rows that have grown and wait to be asked for, beside one of each token: some 3 MB, 40 at worst.
More: more memory while the log is full. Fewer: of tokens that are refused at once, some rows stand
for too few.
"""

_STRICT = frozenset({TooManyRequests.slug, *(state.value for state in TokenState)})

_Key = tuple[TokenId, bool]


@dataclass
class _Window:
    """Since its first row: `began_at` by when that request came, `opened_s` by the monotonic clock, which goes on when nothing comes.
    `unwritten`: the last row has grown since it was handed out.
    """

    began_at: UnixMs
    opened_s: float
    rows: int
    last: LoggedRequest
    unwritten: bool = False


class Refusals:
    """By token, as long as its window: a bounded time, and tokens that we know. `dropped` is told
    how many rows stay as they were written first, as too many wait to be written again.
    """

    def __init__(self, dropped: Callable[[int], None]) -> None:
        self._dropped = dropped
        self._windows: dict[_Key, _Window] = {}
        self._left: list[LoggedRequest] = []  # of windows that are over, grown and not yet written

    def row_for(self, entry: LoggedRequest, now_s: float) -> RequestId:
        """The id of the row on which it counts: its own, which is to be written then, or that of
        the row before.
        """
        strict = entry.reason in _STRICT
        length_ms, most = (STRICT_MS, STRICT_ROWS) if strict else (WINDOW_MS, WINDOW_ROWS)
        key = entry.token_id, strict
        window = self._windows.get(key)
        if (
            window is None or abs(entry.at - window.began_at) >= length_ms
        ):  # before it: the clock was set back
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
        """The rows whose count has grown since the last time, to be written over what is there.
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
        """Before another row takes the place of its last one. Nobody may ask for it for as long as
        the store is away.
        """
        if window is None or not window.unwritten:
            return
        if len(self._left) < MOST_LEFT:
            self._left.append(window.last)
        else:
            self._dropped(1)
