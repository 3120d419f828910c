"""Operational events (alerts), which Ringback sends to its operators: their kinds and their form.

Alerts look like webhooks (`id`, `type`, `schema_version`, `timestamp`, `data`) and are signed like
them. `store.tokens.alerts` writes each in the transaction of the change that it reports, and a
dispatcher sends it. An alert is never an event of the chat platform.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from schemas.ids import AlertId
from schemas.times import UnixMs, to_rfc3339


class AlertKind(StrEnum):
    """The `type` of an alert."""

    CALLBACK_FAILING = "callback.failing"
    """The breaker of a callback opened."""

    CALLBACK_RECOVERED = "callback.recovered"
    """The breaker of a callback closed."""

    CALLBACK_DISABLED = "callback.disabled"
    """Ringback disabled a callback."""

    DELIVERY_EXHAUSTED = "delivery.exhausted"
    """A delivery was given up; sent at most once an hour per callback."""

    TOKEN_EXPIRING = "token.expiring"
    """A token will expire; sent 14, 7 and 1 days before."""


class Alert(msgspec.Struct, frozen=True):
    """An alert that a process has leased in order to send it."""

    id: AlertId
    """The public id."""

    body: bytes
    """The body of every attempt."""

    failures: int
    """Attempts that have failed so far."""

    leased_until: UnixMs
    """The end of the lease, by the store's clock."""

    def summary(self) -> dict[str, str]:
        """Return the fields of a log line about the alert: no URL, no secret."""
        body = _decode(self.body)
        fields = {
            "kind": body.type,
            "alert_id": self.id,
            "token_id": body.data.token.get("id"),
            "type": body.data.callback.get("type"),
            "reason": body.data.reason,
        }
        return {name: value for name, value in fields.items() if value}


class AlertOutcome(msgspec.Struct, frozen=True):
    """How an attempt to send an alert ended."""

    error: str | None = None
    """What went wrong; None when the alert was delivered."""

    retry_in_s: float | None = None
    """Seconds until the next attempt; None when there is none."""


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
    """Return the body of an alert. `data` holds only JSON's own types, with times as texts."""
    return msgspec.json.encode(
        {
            "id": alert_id,
            "type": kind.value,
            "schema_version": "1",
            "timestamp": to_rfc3339(now),
            "data": dict(data),
        }
    )
