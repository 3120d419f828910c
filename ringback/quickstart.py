"""The first five minutes: a token whose callbacks go to `ringback listen`, and three lines that
work when pasted.

Only `serve --quickstart` (`make run`) comes here. The token is kept beside the database, so each
start prints the same.
"""

import json
import os
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path

from ringback.parts import Parts
from ringback.settings import Settings
from schemas.events.types import EventType
from schemas.times import UnixMs
from schemas.tokens.audit_log import COMMAND_LINE
from schemas.tokens.fields import CallbackFields, TokenFields
from schemas.tokens.permissions import Permission
from schemas.tokens.secrets import signing_secret_text, token_hash
from schemas.tokens.tokens import CallbackState, Token, TokenState
from store.tokens.tokens import Tokens

LISTEN_PORT = 9000
_URL = f"http://127.0.0.1:{LISTEN_PORT}/"
_PERMISSIONS = frozenset({Permission.EVENTS_PUBLISH, Permission.PLATFORM_ADMIN})
_ON = frozenset({CallbackState.HEALTHY, CallbackState.FAILING})
_LOOPBACK = ip_network("127.0.0.0/8")
_SAMPLE = (
    '{"type":"message.received","data":{"message":{"id":"msg_1","conversation_id":"cnv_1",'
    '"content":{"type":"text","text":"Hello, Ringback"}},"channel":{"id":"chn_1","kind":"whatsapp"},"customer":{"id":"cus_1"}}}'
)


@dataclass(frozen=True)
class Quickstart:
    """The secrets that the printed lines need. `note`: what else there is to be said of them."""

    token: str = field(repr=False)
    signing_secret: str = field(repr=False)
    note: str | None = None


def with_loopback(settings: Settings) -> Settings:
    """Callbacks may go to this machine: that is where the newcomer listens."""
    return settings.model_copy(update={"allow_targets": (*settings.allow_targets, _LOOPBACK)})


def prepare(parts: Parts) -> Quickstart:
    """The token kept in `var/quickstart`, or a new one when there is none, or the printed lines
    would not work with it any more.
    """
    assert parts.settings.sqlite_path is not None, "the quickstart is for the embedded mode"
    path = parts.settings.sqlite_path.with_name("quickstart")
    why = None
    if kept := _read(path):
        now = parts.directory.now()
        token = parts.directory.holder(kept, now)
        why = _useless(token, kept, now)
        if token and not why:
            return Quickstart(
                kept, signing_secret_text(token.live_signing_keys(now)[-1]), _changed(token, path)
            )
    made = _create(parts)
    _keep(path, made)
    parts.directory.refresh()
    return replace(
        made, note=f"The token of the quickstart {why}: this is a new one." if why else None
    )


def _read(path: Path) -> str | None:
    """The token that is kept there."""
    try:
        return str(json.loads(path.read_text())["token"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _useless(token: Token | None, secret: str, now: UnixMs) -> str | None:
    """Why nothing can be published with it any more, or nothing is sent for it; None: it can."""
    if token is None:
        return "is not in this database"
    if (state := token.state(now)) is not TokenState.ACTIVE:
        return f"is {state}"
    if token_hash(secret) != token.hashes[-1].value:
        return "was regenerated"
    if lacking := _PERMISSIONS - token.permissions:
        return f"lacks the permission {min(lacking)}"
    return None if token.is_readable else "cannot be read with this secret key"


def _changed(token: Token, path: Path) -> str | None:
    """What somebody set, and who then waits in vain at the receiver should know."""
    own = {kind: token.callbacks.get(kind) for kind in EventType}
    if token.channels is None and all(
        one and one.url == _URL and one.state in _ON for one in own.values()
    ):
        return None
    return f"Its callbacks or channels were changed: not every event comes to port {LISTEN_PORT}. Without {path} the next start makes a new token."


def lines(parts: Parts, quickstart: Quickstart) -> list[str]:
    """The address to open, the receiver for a second terminal, the event for a third."""
    url = f"http://{parts.settings.listen.reachable()}"
    return [
        f"{url}/docs",
        f".venv/bin/ringback listen --port {LISTEN_PORT} --secret {quickstart.signing_secret}",
        _curl(f"{url}/v1/events", quickstart.token),
    ]


def _curl(url: str, token: str) -> str:
    """Shows the answer and nothing else, on a line of its own."""
    return f"curl -sS -w '\\n' {url} -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '{_SAMPLE}'"


def _create(parts: Parts) -> Quickstart:
    callbacks = {kind: CallbackFields(url=_URL) for kind in EventType}
    now = parts.database.time()
    fields = TokenFields("quickstart", now, permissions=_PERMISSIONS)
    made = Tokens(parts.database, parts.vault).create(fields, callbacks, now, COMMAND_LINE)
    assert made.signing_secret is not None, "a new token has one"
    return Quickstart(made.secret, made.signing_secret)


def _keep(path: Path, quickstart: Quickstart) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"token": quickstart.token, "signing_secret": quickstart.signing_secret}, file)
