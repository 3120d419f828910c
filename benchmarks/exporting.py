"""Everything about many tokens as a workbook: how long `ringback export` takes, and its peak
memory, on either database.
"""

import pathlib
import sys
import time
from collections.abc import Iterator

import sqlalchemy as sa

from benchmarks.children import running
from benchmarks.comparison import Row, Target
from benchmarks.meter import Meter
from benchmarks.stage import Stage
from schemas.events.types import EventType
from schemas.ids import TokenId, new_callback_id, new_token_id
from schemas.times import now_ms
from schemas.tokens.permissions import Permission
from schemas.tokens.secrets import new_signing_secret, signing_key
from schemas.tokens.tokens import DatedSecret
from store.engine import migrate
from store.engine.database import Database
from store.tables import callbacks, deliveries, tokens
from store.tokens.rows import seal_headers, seal_signing_keys, texts
from store.tokens.vault import Vault

TOKENS = 100_000
DELIVERIES = 4
"""Deliveries of each callback."""

_KEY = "a-secret-key-for-benchmarks-0123456789"
_PROGRAM = str(pathlib.Path(sys.executable).with_name("ringback"))
_POLL_S = 0.05
_BATCH = 1_000
_LIMIT_S = 600.0
_WITHIN_S, _WITHIN_MB = Target(60, at_least=False), Target(150, at_least=False)


def exporting(stage: Stage) -> list[Row]:
    """Measure tokens with three callbacks and twelve deliveries each, with the process's memory."""
    rows: list[Row] = []
    size = stage.size(TOKENS, TOKENS // 20)
    for name, url in (
        ("PostgreSQL", stage.postgres.fresh_database()),
        ("SQLite", f"sqlite:///{stage.folder}/exporting.db"),
    ):
        _fill(url, size)
        took_s, cpu_s, peak_mb = _export(stage, url)
        rows.append(Row("exporting", f"{size:,} tokens, s, {name}", took_s, target=_WITHIN_S))
        rows.append(
            Row("exporting", f"its processor time, without the database's, s, {name}", cpu_s)
        )
        rows.append(
            Row("exporting", f"its memory at the peak, MB, {name}", peak_mb, target=_WITHIN_MB)
        )
    return rows


def _export(stage: Stage, url: str) -> tuple[float, float, float]:
    """Return seconds, processor seconds and peak MB of a new process."""
    settings = {"RINGBACK_DATABASE_URL": url, "RINGBACK_SECRET_KEY": _KEY}
    file = stage.folder / "tokens.xlsx"
    file.unlink(missing_ok=True)
    began_s, cpu_s, peak_mb = time.perf_counter(), 0.0, 0.0
    with running([_PROGRAM, "export", str(file)], stage.folder / "export.log", settings) as child:
        meter = Meter({"export": child.pid})
        while not file.exists():  # it exists once it is complete
            child.check()
            cpu_s, peak_mb = (
                meter.cpu_us(1)["export"] / 1e6,
                max(peak_mb, meter.peak_mb()["export"]),
            )
            if time.perf_counter() - began_s > _LIMIT_S:
                raise TimeoutError(f"no export within {_LIMIT_S:g} s")
            time.sleep(_POLL_S)
        return time.perf_counter() - began_s, cpu_s, peak_mb


def _fill(url: str, size: int) -> None:
    """Fill the tables. Each token has permissions, a channel, and encrypted header values."""
    database, vault = Database(url, timeout_s=_LIMIT_S), Vault([_KEY])
    migrate.upgrade(database)
    for first in range(0, size, _BATCH):
        ids = {number: new_token_id() for number in range(first, min(first + _BATCH, size))}
        with database.write() as connection:
            connection.execute(
                sa.insert(tokens),
                [_token(vault, token_id, number) for number, token_id in ids.items()],
            )
            all_callbacks = [
                row for token_id in ids.values() for row in _callbacks(vault, token_id)
            ]
            connection.execute(sa.insert(callbacks), all_callbacks)
            connection.execute(sa.insert(deliveries), list(_deliveries(all_callbacks)))
    if database.dialect == "postgresql":
        with database.engine.connect().execution_options(
            isolation_level="AUTOCOMMIT"
        ) as connection:
            connection.exec_driver_sql("ANALYZE")
    database.close()


def _token(vault: Vault, token_id: TokenId, number: int) -> dict[str, object]:
    now = now_ms()
    return {
        "id": token_id,
        "version": number,
        "name": f"Supplier {number} of the chat platform",
        "hint": "rbk_…w3Zq",
        "secret_hash": token_id.encode(),
        "signing_secrets": seal_signing_keys(
            vault, token_id, [DatedSecret(signing_key(new_signing_secret()))]
        ),
        "permissions": texts(frozenset(list(Permission)[number % 7 :: 3])),
        "channels": texts(frozenset({f"chn_{number % 50}"})),
        "enabled": True,
        "created_at": now,
        "activates_at": now,
        "expires_at": now * 2,
        "last_used_at": now,
    }


def _callbacks(vault: Vault, token_id: TokenId) -> Iterator[dict[str, object]]:
    for event_type in EventType:
        callback_id = new_callback_id()
        url = f"https://receiver.example/webhooks/{token_id}"
        headers = seal_headers(vault, callback_id, {"x-api-key": "secret", "x-tenant": "a"})
        row = {
            "id": callback_id,
            "token_id": token_id,
            "type": event_type.value,
            "url": url,
            "enabled": True,
        }
        yield row | {"headers": headers, "created_at": now_ms()}


def _deliveries(all_callbacks: list[dict[str, object]]) -> Iterator[dict[str, object]]:
    """Yield deliveries, a third of them open."""
    now = now_ms()
    for callback in all_callbacks:
        for number in range(DELIVERIES):
            is_open = number % 3 == 0
            yield {
                "event_id": f"evt_{now}_{number}",
                "callback_id": callback["id"],
                "token_id": callback["token_id"],
                "type": callback["type"],
                "state": "pending" if is_open else "delivered",
                "created_at": now,
                "due_at": now if is_open else None,
                "queued_at": now if is_open else None,
                "leased": False,
                "lease": 0,
                "failures": 0,
            }
