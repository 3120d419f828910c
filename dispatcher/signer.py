"""Signs webhooks as Standard Webhooks 1.0 says. Knows no clock and no secret's name; called for
every attempt.
"""

import binascii
import hmac
from collections.abc import Sequence
from functools import lru_cache


def sign(keys: Sequence[bytes], event_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`: one `v1,…` per key, separated by spaces.

    `keys` run from oldest to newest, the signatures from newest to oldest: a receiver usually holds the newest already.
    `timestamp_s` is the attempt's own, in unix seconds; `body` the bytes as they are sent.
    """
    content = b"%b.%d.%b" % (event_id.encode(), timestamp_s, body)
    return " ".join(_signature(key, content) for key in reversed(keys))


def _signature(key: bytes, content: bytes) -> str:
    keyed = _keyed(key).copy()
    keyed.update(content)
    return "v1," + binascii.b2a_base64(keyed.digest(), newline=False).decode()


@lru_cache(maxsize=1024)
def _keyed(key: bytes) -> hmac.HMAC:
    """Copied for each signature: unlike `hmac.digest` a copy keeps the GIL for a small body, which
    giving away costs more than signing.
    """
    return hmac.new(key, digestmod="sha256")
