"""A sender whose answers can be awaited, for tests against a real receiver."""

import asyncio
from typing import Self

from dispatcher.http.messages import HttpResponse, Request
from dispatcher.http.resolver import LookUp, addresses_of
from dispatcher.http.sender import Sender
from schemas.tokens.target_policy import TargetPolicy, parse_networks

LOOPBACK = TargetPolicy(parse_networks(["127.0.0.0/8"]))
BODY = b'{"id":"evt_1"}'


class Posting:
    """Closes its sender at the end of a `with`."""

    def __init__(
        self,
        policy: TargetPolicy = LOOPBACK,
        *,
        timeout_s: float = 5,
        ca_file: str | None = None,
        look_up: LookUp = addresses_of,
    ):
        self.sender = Sender(
            asyncio.get_running_loop(),
            policy,
            timeout_s=timeout_s,
            connect_timeout_s=2,
            ca_file=ca_file,
            look_up=look_up,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sender.close()

    async def post(
        self, url: str, body: bytes = BODY, headers: tuple[str, ...] = ("webhook-id: evt_1",)
    ) -> HttpResponse:
        answered: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        self.sender.post(Request(url, headers, body), answered.set_result)
        return await asyncio.wait_for(answered, 20)


async def answer_of(
    url: str, policy: TargetPolicy = LOOPBACK, *, timeout_s: float = 5, ca_file: str | None = None
) -> HttpResponse:
    with Posting(policy, timeout_s=timeout_s, ca_file=ca_file) as posting:
        return await posting.post(url)
