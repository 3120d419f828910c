"""Refused requests of one token: few rows of the request log, each of which says for how many it stands.

Who goes on calling with a revoked token, or with a mistyped address, by malice or by a job that nobody stops, must not fill the
log: past the bound a request is counted on the row before it. Pure: the clock is passed in. Called by `request_log`, under its lock.
"""

from dataclasses import dataclass

import msgspec

from schemas.errors import TooManyRequests
from schemas.ids import RequestId, TokenId
from schemas.request_log import LoggedRequest
from schemas.times import UnixMs
from schemas.tokens import TokenState

STRICT_MS, STRICT_ROWS = 1_000, 1
"""Rows in how many milliseconds of a token that is not active, or beyond its rate. Why it is refused says each of them. More: it
fills the log. Fewer: less is seen of who calls."""

WINDOW_MS, WINDOW_ROWS = 10_000, 10
"""Of an active token. More at once than a row a second: whoever tries things out finds each of its mistakes."""

_STRICT = frozenset({TooManyRequests.slug, *(state.value for state in TokenState)})

_Key = tuple[TokenId, bool]


@dataclass
class _Window:
    """Since its first row: `began_at` by when that request came, `opened_s` by the monotonic clock, which goes on when nothing comes.
    `unwritten`: the last row has grown since it was handed out."""

    began_at: UnixMs
    opened_s: float
    rows: int
    last: LoggedRequest
    unwritten: bool = False


class Refusals:
    """By token, as long as its window: a bounded time, and tokens that we know."""

    def __init__(self) -> None:
        self._windows: dict[_Key, _Window] = {}
        self._left: list[LoggedRequest] = []  # of windows that are over, grown and not yet written

    def row_for(self, entry: LoggedRequest, now_s: float) -> RequestId:
        """The id of the row on which it counts: its own, which is to be written then, or that of the row before."""
        strict = entry.reason in _STRICT
        length_ms, most = (STRICT_MS, STRICT_ROWS) if strict else (WINDOW_MS, WINDOW_ROWS)
        key = entry.token_id, strict
        window = self._windows.get(key)
        if window is None or abs(entry.at - window.began_at) >= length_ms:  # before it: the clock was set back
            self._end(key)
            self._windows[key] = _Window(entry.at, now_s, 1, entry)
        elif window.rows < most:
            self._keep(window)
            window.rows, window.last, window.unwritten = window.rows + 1, entry, False
        else:
            window.last = msgspec.structs.replace(window.last, count=window.last.count + entry.count)
            window.unwritten = True
            return window.last.id
        return entry.id

    def grown(self, now_s: float) -> list[LoggedRequest]:
        """The rows whose count has grown since the last time, to be written over what is there. Forgets windows that are over."""
        for key, window in list(self._windows.items()):
            if (now_s - window.opened_s) * 1000 >= (STRICT_MS if key[1] else WINDOW_MS):
                self._end(key)
            else:
                self._keep(window)
        left, self._left = self._left, []
        return left

    def _end(self, key: _Key) -> None:
        if window := self._windows.pop(key, None):
            self._keep(window)

    def _keep(self, window: _Window) -> None:
        if window.unwritten:
            self._left.append(window.last)
            window.unwritten = False
