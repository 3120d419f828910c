"""Operational events: what Ringback tells those who run it. Their kinds and the form in which they
are sent.

They look like webhooks (`id`, `type`, `schema_version`, `timestamp`, `data`), and are signed like
them. Written by `store.tokens.alerts` in the transaction of what they tell of, sent by a
dispatcher. Never an event of the chat platform.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from schemas.ids import AlertId
from schemas.times import UnixMs, to_rfc3339


class AlertKind(StrEnum):
    """`delivery.exhausted` is told at most once an hour per callback, `token.expiring` 14, 7 and 1
    days before.
    """

    CALLBACK_FAILING = "callback.failing"
    CALLBACK_RECOVERED = "callback.recovered"
    CALLBACK_DISABLED = "callback.disabled"
    DELIVERY_EXHAUSTED = "delivery.exhausted"
    TOKEN_EXPIRING = "token.expiring"


class Alert(msgspec.Struct, frozen=True):
    """One on its way, held under a lease until `leased_until` (the store's clock). `failures`
    counts the attempts that failed.
    """

    id: AlertId
    body: bytes
    failures: int
    leased_until: UnixMs

    def summary(self) -> dict[str, str]:
        """What a log line says of it: no URL, no secret."""
        told = _decode(self.body)
        found = {
            "kind": told.type,
            "alert_id": self.id,
            "token_id": told.data.token.get("id"),
            "type": told.data.callback.get("type"),
        }
        return {
            name: value for name, value in {**found, "reason": told.data.reason}.items() if value
        }


class AlertOutcome(msgspec.Struct, frozen=True):
    """How an attempt at an alert ended. `error` says in words what went wrong, None when it was
    delivered; `retry_in_s` is None when there will be no further attempt.
    """

    error: str | None = None
    retry_in_s: float | None = None


class _Data(msgspec.Struct):
    token: dict[str, str] = {}
    callback: dict[str, str] = {}
    reason: str | None = None


class _Body(msgspec.Struct):
    type: str
    data: _Data


_decode = msgspec.json.Decoder(_Body).decode


def alert_body(
    alert_id: AlertId, kind: AlertKind, data: Mapping[str, object], now: UnixMs
) -> bytes:
    """As it is sent on every attempt. `data` holds JSON's own types; times in it are texts already.
    """
    return msgspec.json.encode(
        {
            "id": alert_id,
            "type": kind.value,
            "schema_version": "1",
            "timestamp": to_rfc3339(now),
            "data": dict(data),
        }
    )
