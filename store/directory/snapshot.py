"""All tokens and callbacks at one version of the directory, in memory: who holds this token, who
may see this event.

A snapshot never changes, so readers need no lock and one question is answered from one version: a
token that moves from "all channels" to one of them is matched exactly once at every moment. The
next snapshot shares what did not change, so a change costs what it touches, however many tokens
there are. Pure; `directory` swaps it.
"""

from collections.abc import Iterable, Sequence
from copy import copy

from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, Token
from store.directory.sharded_dict import Shards

Match = tuple[Token, Callback]
_Seen = tuple[EventType, str | None]  # a type and a channel; None: every channel


REVOKED_KEPT = 2_000
"""Of tokens that were revoked, the last so many are known: by them open deliveries are cancelled
for that reason, and calls answered with it. More: more memory where tokens are made and revoked all
day. Fewer: the calls of those before cost the store a look-up each.
"""


class Snapshot:
    """Immutable to its readers; `changed` makes the next one."""

    __slots__ = ("_callbacks", "_hashes", "_index", "_revoked", "_tokens")

    def __init__(self) -> None:
        self._tokens: Shards[TokenId, Token] = Shards()
        self._hashes: Shards[bytes, tuple[Token, UnixMs | None]] = Shards()
        self._callbacks: Shards[CallbackId, Match] = Shards()
        self._index: Shards[_Seen, dict[CallbackId, Match]] = Shards()
        self._revoked: dict[TokenId, None] = {}  # in the order in which we learned of it

    def by_hash(self, digest: bytes, now: UnixMs) -> Token | None:
        """The token whose secret has this SHA-256, in whatever state it is; not by a secret whose
        overlap has ended.

        A dict look-up is as good as a comparison in constant time here: what it compares is the
        digest, and nobody can steer the digest of a guess towards a stored one.
        """
        found = self._hashes.get(digest)
        if found is None or (found[1] is not None and now >= found[1]):
            return None
        return found[0]

    def token(self, token_id: TokenId) -> Token | None:
        return self._tokens.get(token_id)

    def callback(self, callback_id: CallbackId) -> Match | None:
        return self._callbacks.get(callback_id)

    def match(self, kind: EventType, channel_id: str) -> list[Match]:
        """The callbacks that may see events of this type and channel, whatever their state: the
        cost is theirs alone.
        """
        everywhere, here = self._index.get((kind, None)), self._index.get((kind, channel_id))
        return [*(everywhere.values() if everywhere else ()), *(here.values() if here else ())]

    def changed(self, tokens: Sequence[Token]) -> "Snapshot":
        """The snapshot in which these tokens are as given here, and all others as they were."""
        following = copy(self)
        following.put(tokens)
        return following

    def put(self, tokens: Sequence[Token]) -> None:
        """Only on a snapshot that nobody reads yet: `changed` does it to the next one."""
        own: set[_Seen] = set()
        for token in tokens:
            if known := self._tokens.get(token.id):
                self._remove(known, own)
            self._add(token, own)
        while len(self._revoked) > REVOKED_KEPT:
            if forgotten := self._tokens.get(next(iter(self._revoked))):
                self._remove(forgotten, own)

    def without_matches(self, token_ids: Iterable[TokenId]) -> "Snapshot":
        """The snapshot in which these tokens see no event; whoever asks for them by id or secret
        finds them as before.
        """
        following, own = copy(self), set[_Seen]()
        for token_id in token_ids:
            if token := following._tokens.get(token_id):  # noqa: SLF001 - one of us
                following._unlist(token, own)  # noqa: SLF001
        return following

    def __copy__(self) -> "Snapshot":
        made = Snapshot.__new__(Snapshot)
        for name in self.__slots__:
            setattr(made, name, getattr(self, name).copy())
        return made

    def _remove(self, token: Token, own: set[_Seen]) -> None:
        self._tokens.discard(token.id)
        self._revoked.pop(token.id, None)
        for secret in token.hashes:
            self._hashes.discard(secret.value)
        for callback in token.callbacks.values():
            self._callbacks.discard(callback.id)
        self._unlist(token, own)

    def _unlist(self, token: Token, own: set[_Seen]) -> None:
        for callback in token.callbacks.values():
            for seen in _seen(token, callback):
                matches = self._own(seen, own)
                matches.pop(callback.id, None)
                if not matches:
                    self._index.discard(seen)
                    own.discard(seen)

    def _add(self, token: Token, own: set[_Seen]) -> None:
        self._tokens[token.id] = token
        if token.revoked_at is not None:
            self._revoked[token.id] = None
        for secret in token.hashes:
            self._hashes[secret.value] = (token, secret.until)
        for callback in token.callbacks.values():
            self._callbacks[callback.id] = (token, callback)
            for seen in _seen(token, callback):
                self._own(seen, own)[callback.id] = (token, callback)

    def _own(self, seen: _Seen, own: set[_Seen]) -> dict[CallbackId, Match]:
        """The inner dict for writing: copied once per change from the snapshot before, which
        readers may still hold.
        """
        matches = self._index.get(seen)
        if matches is None or seen not in own:
            own.add(seen)
            matches = self._index[seen] = matches.copy() if matches else {}
        return matches


def _seen(token: Token, callback: Callback) -> Iterable[_Seen]:
    """Under which keys a callback is found; a revoked token's under none."""
    if token.revoked_at is not None:
        return ()
    if token.channels is None:
        return ((callback.type, None),)
    return ((callback.type, channel) for channel in token.channels)
