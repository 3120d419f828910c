"""The directory: every token and callback in memory, never more than a second behind the store (rule 9).

A thread polls the version, on a connection of its own so that a busy pool cannot make it late, and loads the tokens that
changed. While the store is away it keeps what it last knew and says so. What of a token cannot be read costs that token
its calls, and nobody else anything. Shared by the API's threads and a dispatcher.
"""

import threading
import time
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from schemas.errors import SecretUnreadable, StoreUnavailable
from schemas.event_types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.reports import Observer
from schemas.secrets import is_token, token_hash
from schemas.times import UnixMs
from schemas.tokens import Token
from store.database import Connection, Database
from store.expiries import Expiries
from store.prepared import Prepared
from store.snapshot import Match, Snapshot
from store.tables import directory_version, tokens
from store.token_rows import TokenRow, read_tokens_or_reasons
from store.usage import Usage
from store.vault import Vault

POLL_S = 0.25
"""Longer: a change takes longer to hold, and one slow poll makes us stale. Shorter: more queries that find nothing."""

FRESH_S = 0.7
"""With the time that an attempt takes to start it keeps "no attempt later than a second after a revocation"."""

CLOSE_LIMIT_S = 2.0
"""How long a stop waits for a poll that is under way. Its thread ends with the process."""

_PAGE = 1000  # tokens a query, so that the first load of very many stays below the statement timeout
_REMEMBERED = 10_000  # digests known to be nobody's
_VERSION = Prepared(sa.select(directory_version.c.version))


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
        self.usage = Usage(database)
        url = database.url.render_as_string(hide_password=False)
        self._own = Database(url, pool_size=1, timeout_s=database.timeout_s, clock=database.clock)
        self._vault, self._observer, self._clock, self._wall = vault, observer, clock, wall or database.clock.known
        self.snapshot = Snapshot()
        self._expiries = Expiries()
        self._version = -1
        self._polling = threading.Lock()
        self._began_at_s = float("-inf")  # of the last good poll, by our clock
        self._away = False
        self._nobodys: dict[bytes, None] = {}
        self._unreadable: set[TokenId] = set()  # those that the operator was told of
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll_for_ever, name="ringback-directory", daemon=True)

    def start(self) -> None:
        """Load what there is and keep it up to date from now on. An absent store is no error: it is awaited."""
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
        """Whether an attempt may start, and events be matched, by what we know: false until everything was loaded once, and
        again when the last good poll began too long ago. Cheap."""
        return self._clock() - self._began_at_s <= FRESH_S

    def now(self) -> UnixMs:
        """The store's clock, as each poll finds it: by it the states of tokens are judged, in every process alike. Cheap."""
        return self._wall()

    def match(self, kind: EventType, channel_id: str) -> list[Match]:
        return self.snapshot.match(kind, channel_id)

    def callback(self, callback_id: CallbackId) -> Match | None:
        return self.snapshot.callback(callback_id)

    def token(self, token_id: TokenId) -> Token | None:
        return self.snapshot.token(token_id)

    def known(self, secret: str, now: UnixMs) -> Token | None:
        """The token with this secret, in whatever state, as far as memory goes: one that it does not hold may be new."""
        return self.snapshot.by_hash(token_hash(secret), now)

    def holder(self, secret: str, now: UnixMs) -> Token | None:
        """The token with this secret, in whatever state; None for nobody's.

        One that we do not know may be new: the store is asked before it is refused. Raises StoreUnavailable while it cannot be.
        Garbage cannot hammer the store: it fails the checksum, a digest found to be nobody's is remembered (secrets are made
        by us, at random: it will not become somebody's), and threads that ask at once share one poll.
        """
        digest = token_hash(secret)
        found = self.snapshot.by_hash(digest, now)
        if found is not None or digest in self._nobodys or not is_token(secret):
            return found
        self.refresh()
        found = self.snapshot.by_hash(digest, now) or self._revoked(digest)
        if found is None:
            self._remember(digest)
        return found

    def refresh(self) -> None:
        """Know everything that was committed before this call. Raises StoreUnavailable and nothing else, at once while the
        store is away."""
        asked_s = self._clock()
        with self._polling:
            if self._began_at_s >= asked_s:
                return
            if self._away and not self.fresh():
                raise StoreUnavailable("the directory of tokens cannot be read just now")
            self._poll()

    def _revoked(self, digest: bytes) -> Token | None:
        """One that was revoked before we started, and so was not loaded: known from now on, so that its calls are called by their name."""
        with self._polling, self._own.read() as connection:
            rows = connection.execute(sa.select(tokens).where(tokens.c.secret_hash == digest, tokens.c.revoked_at.is_not(None))).all()
            found = [token for token, _ in read_tokens_or_reasons(connection, self._vault, rows)]
            self.snapshot = self.snapshot.changed(found)
        return found[0] if found else None

    def _remember(self, digest: bytes) -> None:
        if len(self._nobodys) >= _REMEMBERED:
            self._nobodys = {}
        self._nobodys[digest] = None

    def _poll_for_ever(self) -> None:
        while not self._stopped.wait(POLL_S):
            self._poll_quietly()
        self._own.close()

    def _poll_quietly(self) -> None:
        """A poll that failed leaves everything as it was; the next one comes anyway. Said once, and again when it is over."""
        try:
            with self._polling:
                self._poll()
        except StoreUnavailable as error:
            if not self._away:
                self._observer.note("directory waits for the store", reason=str(error))
            self._away = True
        else:
            if self._away:
                self._observer.note("directory goes on: the store is back")
            self._away = False

    def _poll(self) -> None:
        began_s = self._clock()
        try:
            self._read()
        except StoreUnavailable:
            raise
        except Exception as error:  # a thread that ended of it would stop every attempt until a restart
            raise StoreUnavailable(f"the directory cannot be read: {error!r}") from error
        self._began_at_s = began_s

    def _read(self) -> None:
        with self._own.read() as connection:
            version = _VERSION.run(connection, {}).scalar() or 0
            self._own.now(connection)
            if version != self._version:
                self._load(connection, version)
        self._leave_out_expired(self._wall())

    def _load(self, connection: Connection, version: int) -> None:
        changed: list[Token] = []
        seen = self._version
        while rows := _changed_rows(connection, seen, everything=self._version < 0):
            for token, reason in read_tokens_or_reasons(connection, self._vault, rows):
                changed.append(token)
                self._tell(token.id, reason)
            seen = rows[-1].version
        self.snapshot = self.snapshot.changed(changed)
        self._expiries.watch(changed)
        self._version = max(version, seen)

    def _leave_out_expired(self, now: UnixMs) -> None:
        """Of what is matched; when the clock is set back, all come back: some may not have expired yet."""
        if recalled := self._expiries.recalled(now):
            self.snapshot = self.snapshot.changed([token for token_id in recalled if (token := self.snapshot.token(token_id))])
        if passed := self._expiries.passed(now):
            self.snapshot = self.snapshot.without_matches(passed)

    def _tell(self, token_id: TokenId, reason: SecretUnreadable | None) -> None:
        """Once for each token: the same load may be tried many times."""
        if reason is None:
            self._unreadable.discard(token_id)
        elif token_id not in self._unreadable:
            self._unreadable.add(token_id)
            self._observer.note("token unreadable: its deliveries are held", token=token_id, reason=str(reason))


def _changed_rows(connection: Connection, after: int, *, everything: bool) -> Sequence[TokenRow]:
    """The next tokens by version. What was revoked before we started can do nothing any more and is left out."""
    statement = sa.select(tokens).where(tokens.c.version > after).order_by(tokens.c.version).limit(_PAGE)
    if everything:
        statement = statement.where(tokens.c.revoked_at.is_(None))
    return connection.execute(statement).all()
