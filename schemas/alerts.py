"""Operational events: what Ringback tells those who run it. Their kinds and the form in which they are sent.

They look like webhooks (`id`, `type`, `schema_version`, `timestamp`, `data`), and are signed like them. Written by `store.alerts`
in the transaction of what they tell of, sent by a dispatcher. Never an event of the chat platform.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from schemas.ids import AlertId
from schemas.times import UnixMs, to_rfc3339


class AlertKind(StrEnum):
    """`delivery.exhausted` is told at most once an hour per callback, `token.expiring` 14, 7 and 1 days before."""

    CALLBACK_FAILING = "callback.failing"
    CALLBACK_RECOVERED = "callback.recovered"
    CALLBACK_DISABLED = "callback.disabled"
    DELIVERY_EXHAUSTED = "delivery.exhausted"
    TOKEN_EXPIRING = "token.expiring"


class Alert(msgspec.Struct, frozen=True):
    """One on its way, held under a lease until `leased_until` (the store's clock). `failures` counts the attempts that failed."""

    id: AlertId
    body: bytes
    failures: int
    leased_until: UnixMs

    @property
    def kind(self) -> str:
        return _decode_kind(self.body).type


class _Kind(msgspec.Struct):
    type: str


_decode_kind = msgspec.json.Decoder(_Kind).decode


def alert_body(alert_id: AlertId, kind: AlertKind, data: Mapping[str, object], now: UnixMs) -> bytes:
    """As it is sent on every attempt. `data` holds JSON's own types; times in it are texts already."""
    return msgspec.json.encode(
        {"id": alert_id, "type": kind.value, "schema_version": "1", "timestamp": to_rfc3339(now), "data": dict(data)}
    )
