"""Signs webhooks as Standard Webhooks 1.0 says. Knows no clock and no secret's name; called for every attempt."""

import binascii
import hmac
from collections.abc import Sequence


def sign(keys: Sequence[bytes], event_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`: one `v1,…` per key, separated by spaces.

    `keys` run from oldest to newest, the signatures from newest to oldest: a receiver usually holds the newest already.
    `timestamp_s` is the attempt's own, in unix seconds; `body` the bytes as they are sent.
    """
    content = b"%b.%d.%b" % (event_id.encode(), timestamp_s, body)
    return " ".join(_signature(key, content) for key in reversed(keys))


def _signature(key: bytes, content: bytes) -> str:
    return "v1," + binascii.b2a_base64(hmac.digest(key, content, "sha256"), newline=False).decode()
