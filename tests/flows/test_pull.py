"""Pulling while events are published and claimed: embedded, and on services by two dispatchers at
once.
"""

import json
from typing import Any

from tests.flows.conftest import Starting
from tests.kit.client import Client
from tests.kit.platform import MESSAGE, message, publishing, wait_for_all
from tests.kit.receiver import Receiver
from tests.kit.waiting import wait_for


class Puller:
    """Pull as the page for receivers says: go on with the cursor."""

    def __init__(self, client: Client, **query: str):
        self._client, self._query = (
            client,
            "".join(f"&{name}={value}" for name, value in query.items()),
        )
        self._cursor = ""
        self.events: list[dict[str, Any]] = []

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]

    def catch_up(self) -> int:
        """How many have come by now."""
        has_more = True
        while has_more:
            page = self._client.get(f"/v1/me/events?limit=100{self._cursor}{self._query}")
            self._cursor, has_more = f"&cursor={page['next_cursor']}", page["has_more"]
            self.events += page["data"]
        return len(self.events)


def test_every_accepted_event_is_pulled_exactly_once(start: Starting) -> None:
    """By one who never stops looking, while two dispatchers claim what sixteen clients publish."""
    ringback = start(dispatchers=2)
    puller = Puller(ringback.client("conversations:read"))

    with publishing(ringback.publisher, 1_500, rate=400) as published:
        while not published.done():
            puller.catch_up()

    accepted = published.result().ids
    assert len(accepted) == 1_500
    wait_for("all to be pulled", lambda: puller.catch_up() >= len(accepted))
    assert sorted(puller.ids) == sorted(accepted)


def test_what_is_pulled_is_what_webhooks_carry(start: Starting, receiver: Receiver) -> None:
    """One program reads both; and a token with channels gets theirs alone, one way as the other."""
    ringback = start()
    token = ringback.token(
        "crm", "conversations:read", callbacks={MESSAGE: receiver.url("/ok/x")}, channels=("chn_1",)
    )
    ids = [
        ringback.publisher.publish(message(number, channel=f"chn_{number % 2}"))
        for number in range(20)
    ]
    wait_for_all(receiver, "/ok/x", ids[1::2])

    with Client(ringback.port, token["token"]) as client:
        puller = Puller(client)
        wait_for("its channel's to be pulled", lambda: puller.catch_up() >= 10)

    sent = {
        request.headers["webhook-id"]: json.loads(request.body)
        for request in receiver.requests("/ok/x")
    }
    assert {event["id"]: event for event in puller.events} == sent
    assert set(sent) == set(ids[1::2])
