"""The first five minutes: a token whose callbacks go to `ringback listen`, and three lines that work when pasted.

Only `serve --quickstart` (`make run`) comes here. The token is kept beside the database, so each start prints the same.
"""

import json
import os
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from ringback.parts import Parts
from ringback.settings import Settings
from schemas.changes import COMMAND_LINE
from schemas.event_types import EventType
from schemas.permissions import Permission
from schemas.token_fields import CallbackFields, TokenFields
from store.tokens import Tokens

LISTEN_PORT = 9000
_LOOPBACK = ip_network("127.0.0.0/8")
_SAMPLE = (
    '{"type":"message.received","data":{"message":{"id":"msg_1","conversation_id":"cnv_1",'
    '"content":{"type":"text","text":"Hello, Ringback"}},"channel":{"id":"chn_1","kind":"whatsapp"},"customer":{"id":"cus_1"}}}'
)


@dataclass(frozen=True)
class Quickstart:
    """The secrets that the printed lines need."""

    token: str = field(repr=False)
    signing_secret: str = field(repr=False)


def with_loopback(settings: Settings) -> Settings:
    """Callbacks may go to this machine: that is where the newcomer listens."""
    return settings.model_copy(update={"allow_targets": (*settings.allow_targets, _LOOPBACK)})


def prepare(parts: Parts) -> Quickstart:
    """The token kept in `var/quickstart`, or a new one when there is none, or the database does not know it."""
    assert parts.settings.sqlite_path is not None, "the quickstart is for the embedded mode"
    path = parts.settings.sqlite_path.with_name("quickstart")
    if path.exists():
        kept = Quickstart(**json.loads(path.read_text()))
        if parts.directory.holder(kept.token, parts.directory.now()) is not None:
            return kept
    made = _create(parts)
    _keep(path, made)
    parts.directory.refresh()
    return made


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
    permissions = frozenset({Permission.EVENTS_PUBLISH, Permission.PLATFORM_ADMIN})
    callbacks = {kind: CallbackFields(url=f"http://127.0.0.1:{LISTEN_PORT}/") for kind in EventType}
    now = parts.database.time()
    fields = TokenFields("quickstart", now, permissions=permissions)
    made = Tokens(parts.database, parts.vault).create(fields, callbacks, now, COMMAND_LINE)
    assert made.signing_secret is not None, "a new token has one"
    return Quickstart(made.secret, made.signing_secret)


def _keep(path: Path, quickstart: Quickstart) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"token": quickstart.token, "signing_secret": quickstart.signing_secret}, file)
