"""A supplier, as administrators change what he may have: a token with a callback, and what came
there.
"""

import itertools
from typing import Any

from tests.kit.client import Client
from tests.kit.platform import MESSAGE, ids_at, message, wait_for_state
from tests.kit.receiver import Receiver
from tests.kit.ringback import Ringback

_numbers = itertools.count(1)


class Subscriber:
    """A token with a callback for messages of its own channel."""

    def __init__(self, ringback: Ringback, receiver: Receiver, path: str, **fields: object):
        self.ringback, self.receiver, self.path = ringback, receiver, path
        self.channel = f"chn_{next(_numbers)}"
        self.token = ringback.token(
            "crm", callbacks={MESSAGE: receiver.url(path)}, channels=(self.channel,), **fields
        )
        self.address = f"/v1/tokens/{self.token['id']}"

    def publish(self) -> str:
        return self.ringback.publisher.publish(message(channel=self.channel))

    def change(self, method: str, path: str = "", body: object = None) -> Any:
        """Change the token, or what is below it; in force when this returns."""
        answer = self.ringback.admin.send(method, self.address + path, body)
        self.ringback.wait_until_in_force()
        return answer

    def put(self, path: str | None = None, **fields: object) -> Any:
        return self.change(
            "PUT", f"/callbacks/{MESSAGE}", {"url": self.receiver.url(path or self.path)} | fields
        )

    def state(self, event_id: str, state: str) -> dict[str, Any]:
        """The event's delivery with its attempts, once it is in this state."""
        return wait_for_state(self.ringback.admin, event_id, state)

    def came(self, path: str | None = None) -> dict[str, int]:
        return dict(ids_at(self.receiver, path or self.path))

    def is_known(self, secret: str) -> bool:
        """Whether it authenticates, in whatever process answers: sixteen requests on connections of
        their own ask them all.
        """
        statuses = set()
        for _ in range(16):
            with Client(self.ringback.port, secret) as client:
                statuses.add(client.call("GET", "/v1/me").status)
        assert statuses in ({200}, {401})
        return statuses == {200}
