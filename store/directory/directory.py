"""The directory: every token and callback in memory, never more than a second behind the store
(docs/invariants.md#only-fresh-knowledge-sends).

A thread polls the version, on a connection of its own so that a busy pool cannot make it late, and
loads the tokens that changed; everything, when the database has another history than the one it
knew. While the store is away, or can only be read, it keeps what it last knew and says so. What of
a token cannot be read costs that token its calls, and nobody else anything. Shared by the API's
threads and a dispatcher.
"""

import operator
import threading
import time
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from schemas.errors import SecretUnreadable, StoreUnavailable
from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.log_events import LogEvent
from schemas.observer import Observer
from schemas.times import UnixMs
from schemas.tokens.secrets import is_token, token_hash
from schemas.tokens.tokens import Token
from store import history
from store.directory.known import Known
from store.directory.last_used import LastUsedWriter
from store.directory.snapshot import Match, Snapshot
from store.engine.database import Connection, Database
from store.engine.paging import bounded
from store.history import DirectoryPosition
from store.tables import tokens
from store.tokens.rows import TokenRow, read_tokens_or_reasons
from store.tokens.vault import Vault

POLL_S = 0.25
"""Longer: a change takes longer to hold, and one slow poll makes us stale. Shorter: more queries
that find nothing.
"""

FRESH_S = 0.7
"""With the time that an attempt takes to start it keeps "no attempt later than a second after a
revocation".
"""

RENEW_S = 1.0
"""While only a read-only server answers: how often all connect anew. Longer: writes stand still for
longer after a fail-over. Shorter: more connections made in vain.
"""

CLOSE_LIMIT_S = 2.0
"""How long a stop waits for a poll that is under way. Its thread ends with the process."""

_PAGE = (
    1000  # tokens a query, so that the first load of very many stays below the statement timeout
)
_SILENT = "the database does not answer in time"
_ORDER = (tokens.c.version, tokens.c.id)


class Directory:
    """`start` once, `close` at the end. All methods may be called from any thread."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], UnixMs] | None = None,
    ):
        self.usage = LastUsedWriter(database)
        self._own = Database(
            database.url, pool_size=1, timeout_s=database.timeout_s, clock=database.clock
        )
        self._database = database
        self._vault, self._observer, self._clock, self._wall = (
            vault,
            observer,
            clock,
            wall or database.clock.known,
        )
        self._known = Known()
        self._polling = threading.Lock()
        self._began_at_s = float("-inf")  # of the last good poll, by our clock
        self._renewed_at_s = float("-inf")
        self._away = False
        self.trouble = _SILENT
        """Why it is not fresh, while it is not, in words."""
        self._unreadable: set[TokenId] = set()  # those that the operator was told of
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._poll_for_ever, name="ringback-directory", daemon=True
        )

    @property
    def snapshot(self) -> Snapshot:
        """All that is known, as of one moment."""
        return self._known.snapshot

    def start(self) -> None:
        """Load what there is and keep it up to date from now on. An absent store is no error: it is
        awaited.
        """
        self._poll_quietly()
        self._thread.start()
        self.usage.start()

    def close(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_LIMIT_S)
        else:
            self._own.close()
        self.usage.close()

    def fresh(self) -> bool:
        """Whether an attempt may start, and events be matched, by what we know: false until
        everything was loaded once, and again when the last good poll, of a server that takes
        writes, began too long ago. Cheap.
        """
        return self._clock() - self._began_at_s <= FRESH_S

    def now(self) -> UnixMs:
        """The store's clock, as each poll finds it: by it the states of tokens are judged, in every
        process alike. Cheap.
        """
        return self._wall()

    def match(self, kind: EventType, channel_id: str) -> list[Match]:
        return self.snapshot.match(kind, channel_id)

    def callback(self, callback_id: CallbackId) -> Match | None:
        return self.snapshot.callback(callback_id)

    def token(self, token_id: TokenId) -> Token | None:
        return self.snapshot.token(token_id)

    def known(self, secret: str, now: UnixMs) -> Token | None:
        """The token with this secret, in whatever state, as far as memory goes: one that it does
        not hold may be new.
        """
        return self.snapshot.by_hash(token_hash(secret), now)

    def holder(self, secret: str, now: UnixMs) -> Token | None:
        """The token with this secret, in whatever state; None for nobody's.

        One that we do not know may be new: the store is asked before it is refused. Raises
        StoreUnavailable while it cannot be. Garbage cannot hammer the store: it fails the checksum,
        a digest found to be nobody's is remembered, and threads that ask at once share one poll.
        """
        digest, known = token_hash(secret), self._known
        found = known.snapshot.by_hash(digest, now)
        if found is not None or known.is_nobodys(digest) or not is_token(secret):
            return found
        self.refresh()
        known = (
            self._known
        )  # before the look-up: what it finds out is of this history, or is forgotten with it
        found = known.snapshot.by_hash(digest, now) or self._revoked(digest)
        if found is None:
            known.remember_as_nobodys(digest)
        return found

    def refresh(self) -> None:
        """Know everything that was committed before this call. Raises StoreUnavailable and nothing
        else, at once while the store is away.
        """
        asked_s = self._clock()
        with self._polling:
            if self._began_at_s >= asked_s:
                return
            if self._away and not self.fresh():
                raise StoreUnavailable("the directory of tokens cannot be read just now")
            self._poll()

    def _revoked(self, digest: bytes) -> Token | None:
        """One that was revoked before we started, or so long ago that it was forgotten: known from
        now on, so that its calls are called by their name.
        """
        with self._polling, self._own.read() as connection:
            rows = connection.execute(
                sa.select(tokens).where(
                    tokens.c.secret_hash == digest, tokens.c.revoked_at.is_not(None)
                )
            ).all()
            found = [token for token, _ in read_tokens_or_reasons(connection, self._vault, rows)]
            self._known.change(found)
        return found[0] if found else None

    def _poll_for_ever(self) -> None:
        while not self._stopped.wait(POLL_S):
            self._poll_quietly()
        self._own.close()

    def _poll_quietly(self) -> None:
        """A poll that failed leaves everything as it was; the next one comes anyway. Said once, and
        again when it is over.
        """
        try:
            with self._polling:
                self._poll()
        except StoreUnavailable as error:
            self.trouble = str(error)
            if not self._away:
                self._observer.log(LogEvent.STORE_UNAVAILABLE, reason=str(error))
            self._away = True
        else:
            if self._away:
                self._observer.log(LogEvent.STORE_AVAILABLE)
            self._away, self.trouble = False, _SILENT

    def _poll(self) -> None:
        began_s = self._clock()
        try:
            self._read()
        except StoreUnavailable:
            raise
        except (
            Exception
        ) as error:  # a thread that ended of it would stop every attempt until a restart
            raise StoreUnavailable(f"the directory cannot be read: {error!r}") from error
        self._began_at_s = began_s

    def _read(self) -> None:
        """Raises StoreUnavailable from a server that can only be read, though what it knows more
        than we is learned: it may be behind, and what is done there cannot be written down.
        """
        for database in (self._own, self._database):
            database.look_at_file()
        with self._own.read() as connection:
            read = history.read(connection, self._known.position)
            self._own.now(connection)
            if read.continues or self._known.position is None:
                self._go_on(connection, self._known, read.position)
            elif read.writable:
                self._start_anew(connection, read.position)
        self._known.leave_out_expired(self._wall())
        if not read.writable:
            self._look_elsewhere()
            raise StoreUnavailable(
                "the database can only be read: it is a standby, or was set read-only; a primary is looked for"
            )

    def _go_on(self, connection: Connection, known: Known, position: DirectoryPosition) -> None:
        """Learn what changed since it was last read; everything, when it never was."""
        if position == known.position:
            return
        everything, changed = known.position is None, list[Token]()
        if everything:
            history.require_whole(connection)
        seen = (known.position.version if known.position else -1, "")
        while rows := _changed_rows(connection, seen, everything=everything):
            for token, reason in read_tokens_or_reasons(connection, self._vault, rows):
                changed.append(token)
                self._tell(token, reason)
            seen = (rows[-1].version, rows[-1].id)
        known.change(changed)
        known.position = position

    def _start_anew(self, connection: Connection, position: DirectoryPosition) -> None:
        """The database was restored, or lost transactions in a fail-over: what we remember may
        never have been. Readers go over to what is so now in one step.
        """
        before, known = self._known.position, Known()
        self._go_on(connection, known, position)
        known.leave_out_expired(self._wall())
        self._known = known
        self._observer.log(
            LogEvent.DIRECTORY_RELOADED,
            known_version=before.version if before else None,
            found_version=position.version,
        )

    def _look_elsewhere(self) -> None:
        """After a fail-over the old connections may lead to the old server for as long as they
        live; new ones need not.
        """
        if self._clock() - self._renewed_at_s >= RENEW_S:
            self._renewed_at_s = self._clock()
            self._own.renew()
            self._database.renew()

    def _tell(self, token: Token, reason: SecretUnreadable | None) -> None:
        """Once for each token: the same load may be tried many times. Nobody need know of one that
        was revoked.
        """
        if reason is None or token.revoked_at is not None:
            self._unreadable.discard(token.id)
        elif token.id not in self._unreadable:
            self._unreadable.add(token.id)
            self._observer.log(LogEvent.TOKEN_UNREADABLE, token=token.id, reason=str(reason))


def _changed_rows(
    connection: Connection, after: tuple[int, str], *, everything: bool
) -> Sequence[TokenRow]:
    """The next tokens by version, and by id within one: a settlement gives hundreds the same
    version, and a page may end among them. What was revoked before we started can do nothing any
    more and is left out.
    """
    statement = (
        sa.select(tokens).where(*bounded(_ORDER, after, operator.gt)).order_by(*_ORDER).limit(_PAGE)
    )
    if everything:
        statement = statement.where(tokens.c.revoked_at.is_(None))
    return connection.execute(statement).all()
