"""What a process knows of the tokens, in one history of the database. Another history is another
`Known`: nothing is carried over.

Whoever polls changes it; readers take `snapshot`, which is swapped in one step. Called by the
directory alone.
"""

from collections.abc import Sequence

from schemas.times import UnixMs
from schemas.tokens.tokens import Token
from store.directory.expiry_queue import ExpiryQueue
from store.directory.snapshot import Snapshot
from store.history import DirectoryPosition

_REMEMBERED = 10_000  # digests known to be nobody's


class Known:
    """`position`: how far it was read; None: nothing yet."""

    def __init__(self) -> None:
        self.position: DirectoryPosition | None = None
        self.snapshot = Snapshot()
        self._expiries = ExpiryQueue()
        self._nobodys: dict[bytes, None] = {}

    def change(self, tokens: Sequence[Token]) -> None:
        self.snapshot = self.snapshot.changed(tokens)
        self._expiries.watch(tokens)

    def leave_out_expired(self, now: UnixMs) -> None:
        """Of what is matched; when the clock is set back, all come back: some may not have expired
        yet.
        """
        if recalled := self._expiries.recalled(now):
            self.snapshot = self.snapshot.changed(
                [token for token_id in recalled if (token := self.snapshot.token(token_id))]
            )
        if passed := self._expiries.passed(now):
            self.snapshot = self.snapshot.without_matches(passed)

    def is_nobodys(self, digest: bytes) -> bool:
        """Whether it was looked up in vain. Secrets are made by us, at random: in this history it
        will not become somebody's.
        """
        return digest in self._nobodys

    def remember_as_nobodys(self, digest: bytes) -> None:
        if len(self._nobodys) >= _REMEMBERED:
            self._nobodys = {}
        self._nobodys[digest] = None
