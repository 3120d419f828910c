"""Signatures of webhooks, as Standard Webhooks 1.0 defines them, and the headers of an attempt.
Knows no clock and no secret's name; called for every attempt, and by the pages that show how to
repeat one.
"""

import binascii
import hmac
from collections.abc import Sequence
from functools import lru_cache

from schemas.deliveries.deliveries import Trigger

_ANNOUNCED = frozenset({Trigger.MANUAL, Trigger.RECOVER, Trigger.TEST})


def sign(keys: Sequence[bytes], event_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the value of `webhook-signature`: one `v1,…` per key, separated by spaces.

    `keys` run from oldest to newest. The signatures run from newest to oldest, because a receiver
    usually has the newest key already. `timestamp_s` is the attempt's own, in unix seconds; `body`
    is the bytes as they are sent.
    """
    content = b"%b.%d.%b" % (event_id.encode(), timestamp_s, body)
    return " ".join(_signature(key, content) for key in reversed(keys))


def webhook_headers(
    event_id: str, timestamp_s: int, signature: str, number: int, trigger: Trigger
) -> dict[str, str]:
    """Return the headers that differ between attempts. `number` is the attempt's, from 1."""
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": signature,
        "ringback-attempt": str(number),
    }
    if trigger in _ANNOUNCED:
        headers["ringback-trigger"] = trigger.value
    return headers


def _signature(key: bytes, content: bytes) -> str:
    keyed = _keyed(key).copy()
    keyed.update(content)
    return "v1," + binascii.b2a_base64(keyed.digest(), newline=False).decode()


@lru_cache(maxsize=1024)
def _keyed(key: bytes) -> hmac.HMAC:
    """Return a keyed HMAC to copy for each signature. For a small body a copy keeps the GIL, unlike
    `hmac.digest`; releasing the GIL costs more than signing.
    """
    return hmac.new(key, digestmod="sha256")
