"""What a process knows of the tokens, in one history of the database. Another history is another
`Known`: nothing is carried over.

The directory's poll changes it. Readers take `snapshot`, which is replaced in one step. Called by
the directory alone.
"""

from collections.abc import Sequence

from schemas.times import UnixMs
from schemas.tokens.tokens import Token
from store.directory.expiry_queue import ExpiryQueue
from store.directory.snapshot import Snapshot
from store.history import DirectoryPosition

_UNKNOWN_MAX = 10_000
"""Digests that are known to belong to no token. More: more memory while secrets are guessed. Fewer:
more of the guesses ask the store.
"""


class Known:
    """The tokens as far as they were read."""

    def __init__(self) -> None:
        self.position: DirectoryPosition | None = None
        """How far the tokens were read; None: not at all yet."""
        self.snapshot = Snapshot()
        """The tokens, for readers."""
        self._expiries = ExpiryQueue()
        self._unknown: dict[bytes, None] = {}

    def change(self, tokens: Sequence[Token]) -> None:
        """Take in these tokens as they are now."""
        self.snapshot = self.snapshot.changed(tokens)
        self._expiries.watch(tokens)

    def leave_out_expired(self, now: UnixMs) -> None:
        """Match expired tokens no more.

        When the clock was set back, all are matched again: some may not have expired yet.
        """
        if recalled := self._expiries.recalled(now):
            self.snapshot = self.snapshot.changed(
                [token for token_id in recalled if (token := self.snapshot.token(token_id))]
            )
        if passed := self._expiries.passed(now):
            self.snapshot = self.snapshot.without_matches(passed)

    def is_unknown(self, digest: bytes) -> bool:
        """Return whether the store was asked for this digest and has no token with it.

        Secrets are random and made by Ringback: in this history no token will get it.
        """
        return digest in self._unknown

    def remember_unknown(self, digest: bytes) -> None:
        """Remember that the store has no token with this digest."""
        if len(self._unknown) >= _UNKNOWN_MAX:
            self._unknown = {}
        self._unknown[digest] = None
