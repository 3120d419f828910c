"""The quickstart: a token whose callbacks go to `ringback listen`, and two commands that work when
pasted.

Called by `serve --quickstart` (`make run`) alone. The token is kept in the folder of the database,
so each start prints the same.
"""

import json
import os
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path

from ringback.cli.listen import QUICKSTART_PORT
from ringback.parts import Parts
from ringback.settings import Settings
from schemas.deliveries.callback_health import MAY_BE_CALLED
from schemas.events.types import EventType
from schemas.times import UnixMs
from schemas.tokens.audit_log import COMMAND_LINE
from schemas.tokens.fields import CallbackFields, TokenFields
from schemas.tokens.permissions import Permission
from schemas.tokens.secrets import signing_secret_text, token_hash
from schemas.tokens.tokens import Token, TokenState
from store.tokens.tokens import Tokens

_URL = f"http://127.0.0.1:{QUICKSTART_PORT}/"
_PERMISSIONS = frozenset({Permission.EVENTS_PUBLISH, Permission.PLATFORM_ADMIN})
_LOOPBACK = ip_network("127.0.0.0/8")
_SAMPLE = (
    '{"type":"message.received","data":{"message":{"id":"msg_1","conversation_id":"cnv_1",'
    '"content":{"type":"text","text":"Hello, Ringback"}},'
    '"channel":{"id":"chn_1","kind":"whatsapp"},"customer":{"id":"cus_1"}}}'
)


@dataclass(frozen=True)
class Quickstart:
    """The secrets that the printed lines need."""

    token: str = field(repr=False)
    signing_secret: str = field(repr=False)
    note: str | None = None
    """A sentence that the user should read before the lines."""


def with_loopback(settings: Settings) -> Settings:
    """Allow callbacks to this machine, where `ringback listen` runs."""
    return settings.model_copy(update={"allow_targets": (*settings.allow_targets, _LOOPBACK)})


def prepare(parts: Parts) -> Quickstart:
    """Return the token that is kept in `var/quickstart`. Without one, or if the printed lines would
    not work with it, create a new one.
    """
    assert parts.settings.sqlite_path is not None, "the quickstart is for the embedded mode"
    path = parts.settings.sqlite_path.with_name("quickstart")
    reason = None
    if kept := _read(path):
        now = parts.directory.now()
        token = parts.directory.holder(kept, now)
        reason = _useless(token, kept, now)
        if token and not reason:
            return Quickstart(
                kept, signing_secret_text(token.live_signing_keys(now)[-1]), _changed(token, path)
            )
    created = _create(parts)
    _keep(path, created)
    parts.directory.refresh()
    note = f"The token of the quickstart {reason}: this is a new one." if reason else None
    return replace(created, note=note)


def _read(path: Path) -> str | None:
    """Return the token that is kept in a file, or None."""
    try:
        return str(json.loads(path.read_text())["token"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _useless(token: Token | None, secret: str, now: UnixMs) -> str | None:
    """Return why the printed lines would not work with a token, or None."""
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
    """Return a note if the receiver would not get every event, as the token was changed."""
    callbacks = [token.callbacks.get(event_type) for event_type in EventType]
    if token.channels is None and all(
        callback and callback.url == _URL and callback.state in MAY_BE_CALLED
        for callback in callbacks
    ):
        return None
    return (
        "Callbacks or channels of the quickstart's token were changed: not every event is sent to "
        f"port {QUICKSTART_PORT}. Delete {path} for a new token at the next start."
    )


def commands(parts: Parts, quickstart: Quickstart) -> list[str]:
    """Return the commands that receive, and that publish."""
    url = f"http://{parts.settings.listen.reachable()}/v1/events"
    return [
        f".venv/bin/ringback listen --port {QUICKSTART_PORT} --secret {quickstart.signing_secret}",
        _curl(url, quickstart.token),
    ]


def _curl(url: str, token: str) -> str:
    """Return a command that prints the answer and nothing else, on its own line."""
    headers = f"-H 'Authorization: Bearer {token}' -H 'Content-Type: application/json'"
    return f"curl -sS -w '\\n' {url} {headers} -d '{_SAMPLE}'"


def _create(parts: Parts) -> Quickstart:
    callbacks = {event_type: CallbackFields(url=_URL) for event_type in EventType}
    now = parts.database.time()
    max_life = parts.settings.token_max_life
    fields = TokenFields("quickstart", now, permissions=_PERMISSIONS)
    if max_life is not None:
        fields = replace(fields, expires_at=fields.latest_end(max_life))
    tokens = Tokens(parts.database, parts.vault, max_life)
    created = tokens.create(fields, callbacks, now, COMMAND_LINE)
    assert created.signing_secret is not None, "a new token has one"
    return Quickstart(created.secret, created.signing_secret)


def _keep(path: Path, quickstart: Quickstart) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"token": quickstart.token, "signing_secret": quickstart.signing_secret}, file)
