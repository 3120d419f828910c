"""When tokens expire, soonest first. An expired token sees no event any more, and must not be
examined for each. Pure; the directory asks after each poll.
"""

import heapq
from collections.abc import Iterable

from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.tokens import Token

MARGIN_MS = 3_600_000
"""Milliseconds after its end at which a token is left out. Longer: more expired tokens are examined
for each event. Shorter: a clock that is wrong by that much, here or at the store, which judges each
event's time, costs a token events.
"""

_STALE_ENTRIES = 1_000
"""Ends that do not hold any more and stay in the queue. More: more memory. Fewer: the queue is
rebuilt more often while tokens change.
"""


class ExpiryQueue:
    """The ends of tokens. `watch` a token again whenever it changes."""

    def __init__(self) -> None:
        self._awaited: dict[TokenId, UnixMs] = {}
        # what is awaited, and what was until its token got another end
        self._soonest: list[tuple[UnixMs, TokenId]] = []
        self._passed: dict[TokenId, UnixMs] = {}
        self._latest = UnixMs(0)

    def watch(self, tokens: Iterable[Token]) -> None:
        """Take in these tokens as they are now; forget what was known of them."""
        for token in tokens:
            self._passed.pop(token.id, None)
            if token.expires_at is None or token.revoked_at is not None:
                self._awaited.pop(token.id, None)
            elif self._awaited.get(token.id) != token.expires_at:
                self._await(token.id, token.expires_at)
        if len(self._soonest) > 2 * len(self._awaited) + _STALE_ENTRIES:
            self._soonest = sorted((at, token_id) for token_id, at in self._awaited.items())

    def passed(self, now: UnixMs) -> list[TokenId]:
        """Return the tokens that have expired since the last call, or since they last changed."""
        self._latest = max(self._latest, now)
        passed: list[TokenId] = []
        while self._soonest and self._soonest[0][0] + MARGIN_MS <= now:
            at, token_id = heapq.heappop(self._soonest)
            if self._awaited.get(token_id) == at:
                self._passed[token_id] = self._awaited.pop(token_id)
                passed.append(token_id)
        return passed

    def recalled(self, now: UnixMs) -> list[TokenId]:
        """Return all that had passed, when the clock was set back so far that some may be alive.

        They are awaited again. Returns nothing otherwise.
        """
        if now >= self._latest - MARGIN_MS:
            return []
        recalled, self._passed, self._latest = self._passed, {}, now
        for token_id, at in recalled.items():
            self._await(token_id, at)
        return list(recalled)

    def _await(self, token_id: TokenId, at: UnixMs) -> None:
        self._awaited[token_id] = at
        heapq.heappush(self._soonest, (at, token_id))
