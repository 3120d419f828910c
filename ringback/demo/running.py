"""The demo while it runs: it makes its tokens at the first start, writes a week of traffic that was
never sent, and then publishes events to receivers in this process.

What it made is kept in the folder of its database, so that the next start goes on. It touches no
database that holds anything else. Called by `serve --demo`.
"""

import contextlib
import datetime as dt
import http.client
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from random import Random
from urllib.parse import urlencode

import msgspec

from ringback.cli.listen_server import Receiver
from ringback.demo.made_up import BACKEND, DAY_S, GATEWAY, SUPPLIERS, Platform, Supplier
from ringback.demo.past import write_past
from ringback.parts import Parts
from ringback.quickstart import with_loopback
from ringback.settings import Settings
from schemas.errors import RingbackError, UsageError
from schemas.ids import TokenId
from schemas.times import UnixMs
from schemas.tokens.audit_log import COMMAND_LINE
from schemas.tokens.fields import CallbackFields, TokenFields
from schemas.tokens.secrets import signing_key
from store.engine import migrate
from store.engine.database import Database
from store.maintenance.startup import is_unused
from store.tokens.callbacks import Callbacks
from store.tokens.tokens import Tokens

DATABASE_URL = "sqlite:///var/demo.db"
"""The demo's own database, unless another one is set."""

EVENTS_PER_S = 0.6
"""Events that are published. More: a small machine is busy with nothing. Fewer: who looks at a page
waits to see something happen.
"""

_CHECK_EVERY = 2  # events between two requests that the gateway asks about
_TIMEOUT_S = 10.0
_LIVE_SCHEDULE = [dt.timedelta(seconds=span) for span in (5, 15, 60, 300)]
_ASKED = (
    ("GET", "/conversations", "conversations:read"),
    ("GET", "/customers/cus_017", "customers:read"),
    ("POST", "/messages", "messages:send"),
    ("GET", "/stats/today", "stats:read"),
)


class _Made(msgspec.Struct):
    """What the demo keeps of one supplier."""

    token_id: TokenId
    token: str
    signing_secret: str
    port: int = 0


_Kept = dict[str, _Made]


def demo_settings(settings: Settings) -> Settings:
    """Return the settings of the demo. Raises UsageError where it cannot run, and RingbackError for
    a database that holds other data.
    """
    is_set = "database_url" in settings.model_fields_set
    changed: dict[str, object] = {} if is_set else {"database_url": DATABASE_URL}
    if "retry_schedule" not in settings.model_fields_set:
        changed["retry_schedule"] = _LIVE_SCHEDULE
    settings = with_loopback(settings.model_copy(update=changed))
    if not settings.embedded:
        raise UsageError(
            "the demo keeps everything in one file of its own: leave out RINGBACK_BROKER_URL, and a"
            " RINGBACK_DATABASE_URL that is not sqlite:///…"
        )
    _require_own_data(settings)
    return settings


class Demo:
    """The suppliers, their receivers, and the traffic. `start` it once the API answers."""

    def __init__(self) -> None:
        self._receivers: list[Receiver] = []
        self._stopped = threading.Event()

    def start(self, parts: Parts) -> None:
        """Make what is missing, and begin to publish."""
        path = _path(parts.settings)
        kept = _read(path)
        is_new = not kept
        for supplier in SUPPLIERS:
            made = kept.get(supplier.name) or _make(parts, supplier)
            kept[supplier.name] = made
            self._receive(parts, supplier, made)
            _keep(path, kept)
        parts.directory.refresh()
        if is_new:
            write_past(parts, {name: made.token_id for name, made in kept.items()})
            parts.directory.refresh()
        threading.Thread(target=self._publish, args=(parts, kept), name="demo", daemon=True).start()

    def close(self) -> None:
        """Stop publishing and receiving."""
        self._stopped.set()
        for receiver in self._receivers:
            receiver.shutdown()
            receiver.server_close()

    def _receive(self, parts: Parts, supplier: Supplier, made: _Made) -> None:
        """Have the supplier's receiver listen, where it listened before if that port is free."""
        if not supplier.types:
            return
        receiver = _listening(supplier, made)
        if supplier.receiver is None:
            receiver.server_close()
        else:
            self._receivers.append(receiver)
            threading.Thread(target=receiver.serve_forever, args=(0.2,), daemon=True).start()
        if made.port != receiver.server_port:
            made.port = receiver.server_port
            _point_to(parts, supplier, made)

    def _publish(self, parts: Parts, kept: _Kept) -> None:
        random = Random()  # noqa: S311 - what is made up is no secret
        platform = Platform(random, first_number=parts.database.time() // 1000 % 1_000_000)
        count = 0
        while not self._stopped.wait(1 / EVENTS_PER_S) and not parts.stopping.is_set():
            # the API may be busy, or may be stopping: the next event is another one
            with contextlib.suppress(OSError, http.client.HTTPException):
                event = platform.next(parts.database.clock.known())
                _post(parts, kept[BACKEND], "/v1/events", json.dumps(event), "application/json")
                count += 1
                if count % _CHECK_EVERY == 0:
                    _check(parts, kept, random)


def _require_own_data(settings: Settings) -> None:
    path = settings.sqlite_path
    assert path is not None, "the demo is embedded"
    if not path.exists():
        return
    database = Database(settings.database_url)
    try:
        if migrate.current(database) is None:
            return
        kept = _read(_path(settings)).get(BACKEND)
        if is_unused(database, kept.token_id if kept else None):
            return
    finally:
        database.close()
    raise RingbackError(
        f"{path} holds other data, which the demo leaves alone: set RINGBACK_DATABASE_URL to a file"
        " that is not there, or leave it out"
    )


def _path(settings: Settings) -> Path:
    assert settings.sqlite_path is not None, "the demo is embedded"
    return settings.sqlite_path.with_suffix(".tokens")


def _read(path: Path) -> _Kept:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def _keep(path: Path, kept: Mapping[str, _Made]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(kept))


def _make(parts: Parts, supplier: Supplier) -> _Made:
    """Create the supplier's token, in the state that it is to be in."""
    now = parts.database.time()
    tokens = Tokens(parts.database, parts.vault)
    expires = supplier.expires_in_s
    fields = TokenFields(
        supplier.name,
        _later(now, supplier.active_in_s),
        None if expires is None else _later(now, expires),
        enabled=not supplier.is_suspended,
        permissions=frozenset(supplier.permissions),
        channels=supplier.channels,
    )
    made = tokens.create(fields, {}, _later(now, -40 * DAY_S), COMMAND_LINE)
    assert made.signing_secret is not None, "a new token has one"
    if supplier.is_revoked:
        tokens.revoke(made.token.id, _later(now, -4 * DAY_S), COMMAND_LINE)
    return _Made(made.token.id, made.secret, made.signing_secret)


def _listening(supplier: Supplier, made: _Made) -> Receiver:
    keys = [signing_key(made.signing_secret)]
    behaviour = supplier.receiver or SUPPLIERS[0].receiver
    assert behaviour is not None, "the first supplier has a receiver"
    try:
        return Receiver(made.port, keys, behaviour, lambda _webhook: None)
    except OSError:  # the port is in use
        return Receiver(0, keys, behaviour, lambda _webhook: None)


def _point_to(parts: Parts, supplier: Supplier, made: _Made) -> None:
    """Have the supplier's callbacks lead to its receiver."""
    callbacks = Callbacks(parts.database, parts.vault)
    folder = supplier.name.lower().replace(" ", "-")
    for event_type in supplier.types:
        fields = CallbackFields(
            f"http://127.0.0.1:{made.port}/{folder}/{event_type.value}",
            enabled=event_type not in supplier.off,
            headers=supplier.headers,
        )
        callbacks.put(made.token_id, event_type, fields, COMMAND_LINE)


def _check(parts: Parts, kept: _Kept, random: Random) -> None:
    """Ask what a token may do, as a gateway does for a request of its owner."""
    made = kept[random.choice(SUPPLIERS).name]
    method, path, permission = random.choice(_ASKED)
    asked = {"token": made.token, "method": method, "path": path, "permission": permission}
    status = {"status": "200", "ip": "203.0.113.24", "user_agent": "supplier/2.1"}
    form = "application/x-www-form-urlencoded"
    _post(parts, kept[GATEWAY], "/v1/introspect", urlencode(asked | status), form)


def _post(parts: Parts, made: _Made, path: str, body: str, kind: str) -> None:
    """Send a request to the API of this process."""
    address = parts.settings.listen.reachable()
    connection = http.client.HTTPConnection(str(address), timeout=_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {made.token}", "Content-Type": kind}
    with contextlib.closing(connection):
        connection.request("POST", path, body, headers)
        connection.getresponse().read()


def _later(now: UnixMs, seconds: float) -> UnixMs:
    return UnixMs(now + round(seconds * 1000))
