"""The signature against the standard's vectors and against another's verifier."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from schemas.signature import sign
from schemas.tokens.secrets import new_signing_secret, signing_key

VECTORS = json.loads(
    (Path(__file__).parent.parent / "vectors" / "standard_webhooks.json").read_text()
)["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_the_vectors_of_the_standard_come_out(vector: dict[str, str]) -> None:
    """They were made by others: agreeing with ourselves proves nothing."""
    signature = sign(
        [signing_key(vector["secret"])],
        vector["id"],
        int(vector["timestamp"]),
        vector["body"].encode(),
    )

    assert signature == vector["signature"]


@given(
    key=st.binary(min_size=24, max_size=64),
    event_id=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    body=st.text(max_size=200),
)
def test_a_receivers_library_accepts_what_we_sign(key: bytes, event_id: str, body: str) -> None:
    """What receivers do with it, for any key, id and body."""
    now_s = int(datetime.now(UTC).timestamp())
    payload = json.dumps(body)

    signature = sign([key], event_id, now_s, payload.encode())

    verifier = standardwebhooks.Webhook(base64.b64encode(key).decode())
    headers = {
        "webhook-id": event_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": signature,
    }
    verifier.verify(payload, headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verifier.verify(payload + " ", headers)


def test_during_a_rotation_each_live_secret_signs_and_the_newest_comes_first() -> None:
    """Receivers change their secret when they want to: both the old and the new one must verify."""
    old, new = (signing_key(new_signing_secret()) for _ in range(2))

    signature = sign([old, new], "evt_1", 1_700_000_000, b"{}")

    assert (
        signature == f"{sign([new], 'evt_1', 1_700_000_000, b'{}')} "
        f"{sign([old], 'evt_1', 1_700_000_000, b'{}')}"
    )
