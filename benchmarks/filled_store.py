"""A store with very many events and deliveries, written by SQL. Called by the benchmarks of lists
and pages.
"""

from dataclasses import dataclass

from store.engine import migrate
from store.engine.database import Database

CALLBACKS = 100
ONE_IN = 5_000_000
"""Of so many events one is of a rare type, and its delivery failed with an error of its own."""

FILLING_S = 3600.0
"""The limit of a statement that fills a store."""

_TOKENS = """
INSERT INTO tokens
    (id, version, name, hint, secret_hash, signing_secrets, permissions, enabled, created_at,
    activates_at)
SELECT 'tok_' || (n % {callbacks}), 1, 'busy', 'rbk_', {own}, {blob}, '[]', true, 0, 0
FROM {few}
"""
_CALLBACK_ROWS = """
INSERT INTO callbacks (id, token_id, type, url, enabled, headers, created_at, failing_since)
SELECT 'cb_' || (n % {callbacks}), 'tok_' || (n % {callbacks}), 'message.received',
    'https://x.example/', true, {blob}, 0, CASE WHEN n % 10 = 2 THEN {first} END
FROM {few}
"""
_EVENTS = """
INSERT INTO events
    (id, type, timestamp, accepted_at, via_amqp, channel_id, conversation_id, content_hash,
    conflicts, callbacks, body, claimed_at)
SELECT 'evt_' || (1000000000 + n),
    CASE WHEN n % {one_in} = 7 THEN 'message.status' ELSE 'message.received' END,
    {at}, {at}, false, 'chn_1', 'cnv_1', {blob}, 0, 'cb_' || (n % {callbacks}), {body}, {at}
FROM {many}
"""
_DELIVERIES = """
INSERT INTO deliveries
    (event_id, callback_id, token_id, type, state, created_at, due_at, leased, lease, failures,
    queued_at, status_code, outcome)
SELECT 'evt_' || (1000000000 + n), 'cb_' || (n % {callbacks}), 'tok_' || (n % {callbacks}),
    'message.received',
    CASE n % 10 WHEN 1 THEN 'pending' WHEN 2 THEN 'exhausted' WHEN 3 THEN 'exhausted'
        ELSE 'delivered' END,
    {at}, CASE n % 10 WHEN 1 THEN {at} END, false, 0, 0, CASE n % 10 WHEN 1 THEN {at} END, 200,
    CASE WHEN n % {one_in} = 7 THEN 'tls' ELSE 'delivered' END
FROM {many}
"""
_ATTEMPTS = """
INSERT INTO attempts
    (event_id, callback_id, id, number, trigger, started_at, duration_ms, outcome, status_code,
    request_headers, response_body)
SELECT 'evt_' || (1000000000 + n), 'cb_' || (n % {callbacks}), 'att_' || n, 1, 'first', {at}, 40,
    CASE n % 10 WHEN 2 THEN 'http_5xx' WHEN 3 THEN 'timeout' ELSE 'delivered' END, 200,
    {object}, {blob}
FROM {many} WHERE n % 10 <> 1
"""
_BODY = (
    '{"id":"evt_1","type":"message.received","schema_version":"1",'
    '"timestamp":"2026-11-30T10:00:00.000Z","data":{"message":{"id":"msg_1",'
    '"conversation_id":"cnv_1","content":{"type":"text","text":"%s"}},'
    '"channel":{"id":"chn_1","kind":"whatsapp","name":"Support"},"customer":{"id":"cus_1"}}}'
) % ("x" * 130)
"""The webhook of every event, 400 bytes."""

_PARTS = {
    "postgresql": {
        "numbers": "generate_series(1::bigint, {rows}) AS n",
        "blob": "'\\x00'::bytea",
        "object": "'\\x7b7d'::bytea",
        "own": "convert_to(n::text, 'UTF8')",
        "body": "convert_to('{json}', 'UTF8')",
    },
    "sqlite": {
        "numbers": "(WITH RECURSIVE c(n) AS "
        "(SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows}) SELECT n FROM c)",
        "blob": "x'00'",
        "object": "x'7b7d'",
        "own": "CAST(n AS BLOB)",
        "body": "CAST('{json}' AS BLOB)",
    },
}


@dataclass(frozen=True)
class Times:
    """When the events were: row n `first_ms + n * step_ms`, in unix milliseconds."""

    first_ms: int = 0
    step_ms: int = 1


def filled(url: str, rows: int, times: Times, *, with_attempts: bool = False) -> Database:
    """Lay tables at `url`, and return a database of so many events with one delivery each. Of ten
    deliveries one waits, two failed, and the others were delivered.
    """
    filling = Database(url, timeout_s=FILLING_S)
    migrate.upgrade(filling)
    names = _PARTS[filling.dialect]
    parts = names | {
        "many": names["numbers"].format(rows=rows),
        "few": names["numbers"].format(rows=CALLBACKS),
        "at": f"{times.first_ms} + n * {times.step_ms}",
        "first": str(times.first_ms),
        "body": names["body"].format(json=_BODY),
        "callbacks": str(CALLBACKS),
        "one_in": str(ONE_IN),
    }
    statements = [_TOKENS, _CALLBACK_ROWS, _EVENTS, _DELIVERIES]
    with filling.write() as connection:
        for statement in [*statements, _ATTEMPTS] if with_attempts else statements:
            text = statement.format(**parts)
            connection.exec_driver_sql(
                text.replace("%", "%%") if filling.dialect == "postgresql" else text
            )
    if filling.dialect == "postgresql":
        with filling.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")  # as autovacuum would have by then
    filling.close()
    return Database(url)
