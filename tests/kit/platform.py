"""Events as a chat backend makes them, what receivers got of them, and what administrators see of
their deliveries.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from standardwebhooks.webhooks import Webhook

from tests.kit.client import Client, Published
from tests.kit.receiver import Receiver
from tests.kit.waiting import wait_for

MESSAGE = "message.received"


def message(
    number: int | str = 0, conversation: str = "", channel: str = "chn_1", **envelope: object
) -> dict[str, Any]:
    """A `message.received` event, in a conversation of its own unless one is named."""
    data = {
        "message": {
            "id": f"msg_{number}",
            "conversation_id": conversation or f"cnv_{number}",
            "content": {"type": "text", "text": f"ciao {number} 👋"},
        },
        "channel": {"id": channel, "kind": "whatsapp"},
        "customer": {"id": "cus_1"},
    }
    return {"type": MESSAGE, "data": data} | envelope


def status(value: str, message_id: str = "msg_1", **envelope: object) -> dict[str, Any]:
    """A `message.status` event."""
    data = {
        "message": {"id": message_id, "conversation_id": "cnv_1"},
        "status": value,
        "channel": {"id": "chn_1", "kind": "whatsapp"},
    }
    return {"type": "message.status", "data": data} | envelope


@contextlib.contextmanager
def publishing(
    client: Client, count: int, rate: float, clients: int = 16
) -> Iterator[Future[Published]]:
    """So many messages, at so many a second, sent while the block runs;
    at its end all have been.
    """
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(client.publish_many, [message(n) for n in range(count)], clients, rate)


def ids_at(receiver: Receiver, path: str) -> Counter[str]:
    """How often each event came there."""
    return Counter(request.headers["webhook-id"] for request in receiver.requests(path))


def wait_for_all(
    receiver: Receiver, path: str, ids: Sequence[str], limit_s: float = 60
) -> Counter[str]:
    """How often each came, once every one of these has."""
    wanted = set(ids)
    wait_for(
        f"{len(wanted)} events at {path}", lambda: wanted <= ids_at(receiver, path).keys(), limit_s
    )
    return ids_at(receiver, path)


def verify_all(receiver: Receiver, path: str, signing_secret: str) -> None:
    """Every webhook that came there verifies, by the reference library. Raises
    WebhookVerificationError.
    """
    reference = Webhook(signing_secret)
    for request in receiver.requests(path):
        json.loads(request.body)
        reference.verify(request.body, request.headers)


def deliveries_of(admin: Client, event_id: str) -> list[dict[str, Any]]:
    """Without attempts; none while the event cannot be read yet."""
    event = admin.find(f"/v1/events/{event_id}")
    return event["deliveries"] if event else []


def wait_for_state(admin: Client, event_id: str, state: str, limit_s: float = 10) -> dict[str, Any]:
    """The event's only delivery, with its attempts, once it is in this state."""

    def there() -> dict[str, Any] | None:
        found = deliveries_of(admin, event_id)
        return found[0] if [one["state"] for one in found] == [state] else None

    delivery = wait_for(f"the delivery of {event_id} to be {state}", there, limit_s) or {}
    shown: dict[str, Any] = admin.get(f"/v1/deliveries/{delivery['id']}")
    return shown
