"""All tokens and callbacks at one version of the directory, in memory: which token has this secret,
which callbacks may see this event.

A snapshot never changes, so readers need no lock and one question is answered from one version: a
token that moves from "all channels" to one of them is matched exactly once at every moment. The
next snapshot shares what did not change, so a change costs what it touches, however many tokens
there are. Pure; the directory replaces it.
"""

from collections.abc import Iterable, Sequence
from copy import copy

from schemas.events.types import EventType
from schemas.ids import CallbackId, TokenId
from schemas.times import UnixMs
from schemas.tokens.tokens import Callback, Token
from store.directory.sharded_dict import ShardedDict

Match = tuple[Token, Callback]
"""A callback that may see an event, and its token."""

_Seen = tuple[EventType, str | None]  # a type and a channel; None: every channel

REVOKED_KEPT = 2_000
"""Revoked tokens that stay in memory, the latest ones. By them open deliveries are cancelled with
that reason, and calls are refused with it. More: more memory where tokens are created and revoked
all day. Fewer: the calls of tokens revoked before cost the store a lookup each.
"""


class Snapshot:
    """All tokens at one version. Immutable to its readers; `changed` makes the next one."""

    __slots__ = ("_callbacks", "_hashes", "_index", "_revoked", "_tokens")

    def __init__(self) -> None:
        self._tokens: ShardedDict[TokenId, Token] = ShardedDict()
        self._hashes: ShardedDict[bytes, tuple[Token, UnixMs | None]] = ShardedDict()
        self._callbacks: ShardedDict[CallbackId, Match] = ShardedDict()
        self._index: ShardedDict[_Seen, dict[CallbackId, Match]] = ShardedDict()
        self._revoked: dict[TokenId, None] = {}  # in the order in which we learned of it

    def by_hash(self, digest: bytes, now: UnixMs) -> Token | None:
        """Return the token whose secret has this SHA-256, in any state.

        A secret whose overlap has ended does not count. A dict lookup is as good as a comparison in
        constant time here: it compares digests, and the digest of a guess cannot be steered towards
        a stored one.
        """
        entry = self._hashes.get(digest)
        if entry is None:
            return None
        token, until = entry
        return token if until is None or now < until else None

    def token(self, token_id: TokenId) -> Token | None:
        """Return this token, in any state; None when it is not known."""
        return self._tokens.get(token_id)

    def callback(self, callback_id: CallbackId) -> Match | None:
        """Return this callback and its token, in any state; None when it is not known."""
        return self._callbacks.get(callback_id)

    def match(self, event_type: EventType, channel_id: str) -> list[Match]:
        """Return the callbacks that may see events of this type and channel, in any state.

        It costs as much as they are, however many other callbacks there are.
        """
        everywhere, here = (
            self._index.get((event_type, None)),
            self._index.get((event_type, channel_id)),
        )
        return [*(everywhere.values() if everywhere else ()), *(here.values() if here else ())]

    def changed(self, tokens: Sequence[Token]) -> "Snapshot":
        """Return the snapshot in which these tokens are as given, and all others as they were."""
        following = copy(self)
        following.put(tokens)
        return following

    def put(self, tokens: Sequence[Token]) -> None:
        """Write tokens into a snapshot without readers: `changed` calls it on the next one."""
        own: set[_Seen] = set()
        for token in tokens:
            if known := self._tokens.get(token.id):
                self._remove(known, own)
            self._add(token, own)
        while len(self._revoked) > REVOKED_KEPT:
            if forgotten := self._tokens.get(next(iter(self._revoked))):
                self._remove(forgotten, own)

    def without_matches(self, token_ids: Iterable[TokenId]) -> "Snapshot":
        """Return the snapshot in which these tokens see no event.

        They are still found by id and by secret.
        """
        following, own = copy(self), set[_Seen]()
        for token_id in token_ids:
            if token := following._tokens.get(token_id):  # noqa: SLF001 - of the same class
                following._unlist(token, own)  # noqa: SLF001 - of the same class
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
        """Return the inner dict for writing.

        It is copied once per change from the snapshot before, which readers may still hold.
        """
        matches = self._index.get(seen)
        if matches is None or seen not in own:
            own.add(seen)
            matches = self._index[seen] = matches.copy() if matches else {}
        return matches


def _seen(token: Token, callback: Callback) -> Iterable[_Seen]:
    """Return the keys under which a callback is found; a revoked token's has none."""
    if token.revoked_at is not None:
        return ()
    if token.channels is None:
        return ((callback.type, None),)
    return ((callback.type, channel) for channel in token.channels)
