"""The directory: every token and callback in memory, never more than a second behind the store
(docs/invariants.md#only-fresh-knowledge-sends).

A thread polls the version, on a connection of its own so that a busy pool cannot make it late. It
loads the tokens that changed, or all when the database has another history than the known one.
While the store is unavailable, or can only be read, the directory keeps what it last knew and
reports itself as stale. A token that cannot be read in part loses only its own calls. Shared by the
API and a dispatcher.
"""

import threading
import time
from collections.abc import Callable

from schemas.errors import SecretUnreadable, StoreUnavailable
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.log_events import LogEvent
from schemas.observer import Observer
from schemas.times import UnixMs
from schemas.tokens.secrets import is_token, token_hash
from schemas.tokens.tokens import Token
from store import history
from store.directory.changed_tokens import changed_tokens, revoked_token
from store.directory.known_tokens import Known
from store.directory.last_used import LastUsedWriter
from store.directory.snapshot import Match, Snapshot
from store.engine.background import PeriodicThread
from store.engine.database import Connection, Database
from store.history import DirectoryPosition
from store.tokens.vault import Vault

POLL_S = 0.25
"""Seconds between two polls. Longer: a change takes effect later, and one slow poll makes the
directory stale. Shorter: more queries that find nothing.
"""

FRESH_S = 0.7
"""Seconds after the start of a good poll for which the directory is fresh. With the time that an
attempt takes to start this keeps "no attempt later than a second after a revocation". Longer: that
does not hold. Shorter: slow polls stop sending.
"""

RENEW_S = 1.0
"""Seconds between two replacements of all connections while only a read-only server answers.
Longer: writes stand still for longer after a fail-over. Shorter: more connections without use.
"""

CLOSE_LIMIT_S = 2.0
"""How long a stop waits for a poll that is under way. Its thread ends with the process."""

_SILENT = "the database does not answer in time"


class Directory:
    """The tokens of one database. `start` it once, `close` it at the end. Thread-safe."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        observer: Observer,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], UnixMs] | None = None,
    ):
        self.usage = LastUsedWriter(database, observer)
        """When each token was last used."""
        self._own = Database(
            database.url, pool_size=1, timeout_s=database.timeout_s, clock=database.clock
        )
        self._database, self._vault, self._observer = database, vault, observer
        self._clock, self._wall = clock, wall or database.clock.known
        self._known = Known()
        self._polling = threading.Lock()
        self._began_at_s = float("-inf")  # of the last good poll, by `clock`
        self._renewed_at_s = float("-inf")
        self._is_unavailable = False
        self.trouble = _SILENT
        """Why the directory is not fresh, while it is not."""
        self._unreadable: set[TokenId] = set()  # those that were logged
        self._thread = PeriodicThread(
            "directory",
            self._poll_quietly,
            every_s=POLL_S,
            observer=observer,
            close_timeout_s=CLOSE_LIMIT_S,
            finish=self._own.close,
        )

    @property
    def snapshot(self) -> Snapshot:
        """Everything that is known, as of one moment."""
        return self._known.snapshot

    def start(self) -> None:
        """Load all tokens, and keep them up to date from now on.

        An unavailable store is not an error: the directory waits for it.
        """
        self._poll_quietly()
        self._thread.start()
        self.usage.start()

    def close(self) -> None:
        """Stop to poll, and write the last uses of tokens."""
        if not self._thread.is_alive():
            self._own.close()
        self._thread.close()
        self.usage.close()

    def fresh(self) -> bool:
        """Return whether attempts may start, and events be matched, by what is known.

        False until everything was loaded once, and again when the last good poll, of a server that
        takes writes, began too long ago. Cheap.
        """
        return self._clock() - self._began_at_s <= FRESH_S

    def now(self) -> UnixMs:
        """Return the store's time, as each poll reads it. Cheap.

        Every process judges the states of tokens by it.
        """
        return self._wall()

    def match(self, event_type: EventType, channel_id: str) -> list[Match]:
        """Return the callbacks that may see events of this type and channel, in any state."""
        return self.snapshot.match(event_type, channel_id)

    def callback(self, callback_id: CallbackId) -> Match | None:
        """Return this callback and its token, in any state; None when it is not known."""
        return self.snapshot.callback(callback_id)

    def token(self, token_id: TokenId) -> Token | None:
        """Return this token, in any state; None when it is not known."""
        return self.snapshot.token(token_id)

    def known(self, secret: str, now: UnixMs) -> Token | None:
        """Return the token with this secret, in any state, from memory alone.

        None when it is not in memory: it may be new.
        """
        return self.snapshot.by_hash(token_hash(secret), now)

    def may_be_new(self, secret: str) -> bool:
        """Return whether `holder` would ask the store about a secret that is not in memory."""
        return is_token(secret) and not self._known.is_unknown(token_hash(secret))

    def holder(self, secret: str, now: UnixMs) -> Token | None:
        """Return the token with this secret, in any state; None: there is none.

        A secret that is not in memory may be new: the store is asked before it is refused. Raises
        StoreUnavailable while the store does not answer. Garbage cannot flood the store: it fails
        the checksum, a digest without a token is remembered, and threads that ask at the same time
        share one poll.
        """
        digest, known = token_hash(secret), self._known
        token = known.snapshot.by_hash(digest, now)
        if token is not None or known.is_unknown(digest) or not is_token(secret):
            return token
        self.refresh()
        # take it before the lookup: its result belongs to this history, and is forgotten with it
        known = self._known
        token = known.snapshot.by_hash(digest, now) or self._revoked(digest)
        if token is None:
            known.remember_unknown(digest)
        return token

    def refresh(self) -> None:
        """Learn everything that was committed before this call.

        Raises only StoreUnavailable, and does so at once while the store is known to be so.
        """
        asked_s = self._clock()
        with self._polling:
            if self._began_at_s >= asked_s:
                return
            if self._is_unavailable and not self.fresh():
                raise StoreUnavailable("the directory of tokens cannot be read just now")
            self._poll()

    def _revoked(self, digest: bytes) -> Token | None:
        """Look up a token that was revoked before the start, or so long ago that it was forgotten.

        It is known from now on, so that its calls are logged with its name.
        """
        with self._polling, self._own.read() as connection:
            token = revoked_token(connection, self._vault, digest)
            self._known.change([token] if token else [])
        return token

    def _poll_quietly(self) -> None:
        """Poll. A failure leaves everything as it was, and is logged once, as is its end."""
        try:
            with self._polling:
                self._poll()
        except StoreUnavailable as error:
            self.trouble = str(error)
            if not self._is_unavailable:
                self._observer.log(LogEvent.STORE_UNAVAILABLE, part="directory", reason=str(error))
            self._is_unavailable = True
        else:
            if self._is_unavailable:
                self._observer.log(LogEvent.STORE_AVAILABLE, part="directory")
            self._is_unavailable, self.trouble = False, _SILENT

    def _poll(self) -> None:
        began_s = self._clock()
        try:
            self._read()
        except StoreUnavailable:
            raise
        except (
            Exception
        ) as error:  # whatever it is: what is known gets stale, and operators see why
            raise StoreUnavailable(f"the directory cannot be read: {error!r}") from error
        self._began_at_s = began_s

    def _read(self) -> None:
        """Read what changed. Raises StoreUnavailable for a server that can only be read.

        What such a server knows in addition is learned all the same. But it may be behind, and
        nothing that is done by it can be recorded.
        """
        for database in (self._own, self._database):
            database.check_file()
        with self._own.read() as connection:
            reading = history.read(connection, self._known.position)
            self._own.now(connection)
            if reading.continues or self._known.position is None:
                self._advance(connection, self._known, reading.position)
            elif reading.writable:
                self._reload(connection, reading.position)
        self._known.leave_out_expired(self._wall())
        if not reading.writable:
            self._reconnect()
            raise StoreUnavailable(
                "the database can only be read: it is a standby, or was set read-only. Ringback"
                " looks for a primary"
            )

    def _advance(self, connection: Connection, known: Known, position: DirectoryPosition) -> None:
        """Learn what changed since the known position."""
        if position == known.position:
            return
        changed = list[Token]()
        for token, reason in changed_tokens(connection, self._vault, known.position):
            changed.append(token)
            self._log_unreadable(token, reason)
        known.change(changed)
        known.position = position

    def _reload(self, connection: Connection, position: DirectoryPosition) -> None:
        """Load everything again: the database was restored, or lost transactions in a fail-over.

        What is in memory may never have been. Readers see the new state in one step.
        """
        before, known = self._known.position, Known()
        self._advance(connection, known, position)
        known.leave_out_expired(self._wall())
        self._known = known
        self._observer.log(
            LogEvent.DIRECTORY_RELOADED,
            known_version=before.version if before else None,
            found_version=position.version,
        )

    def _reconnect(self) -> None:
        """Replace the connections: after a fail-over they may lead to the old server for ever."""
        if self._clock() - self._renewed_at_s >= RENEW_S:
            self._renewed_at_s = self._clock()
            self._own.renew()
            self._database.renew()

    def _log_unreadable(self, token: Token, reason: SecretUnreadable | None) -> None:
        """Log once for each token: the same load may be tried many times. Not for a revoked one."""
        if reason is None or token.revoked_at is not None:
            self._unreadable.discard(token.id)
        elif token.id not in self._unreadable:
            self._unreadable.add(token.id)
            self._observer.log(LogEvent.TOKEN_UNREADABLE, token=token.id, reason=str(reason))
