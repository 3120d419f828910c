"""Sends HTTP requests and says what came back. Knows neither deliveries nor retries: `verdict`
judges, `dispatch` calls.

Names are found by the `resolver`, the rest is a `transfer`'s. One event loop's thread, no coroutine
per request.
"""

import asyncio

from dispatcher.http.ca_bundle import system_bundle
from dispatcher.http.curl_loop import CurlLoop
from dispatcher.http.messages import OnAnswer, Request
from dispatcher.http.resolver import LookUp, Resolver, addresses_of, name_in
from dispatcher.http.transfer import Transfer
from schemas.deliveries.deliveries import Outcome
from schemas.tokens.target_policy import TargetPolicy

IDLE_CONNECTIONS = 256
"""Kept open for the next request. Larger: more descriptors; smaller: more handshakes once more
callbacks than that are busy.
"""


class Sender:
    """Belongs to one event loop and is only used on its thread. Limits are per request; lanes limit
    how many there are.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        policy: TargetPolicy,
        *,
        timeout_s: float,
        connect_timeout_s: float,
        ca_file: str | None = None,
        max_idle_connections: int = IDLE_CONNECTIONS,
        look_up: LookUp = addresses_of,
    ):
        """`ca_file` replaces the system's certificate authorities; raises UsageError when there are
        none.
        """
        self._policy, self._limits = policy, (timeout_s, connect_timeout_s)
        self._ca_file = ca_file or system_bundle()
        self._transfers = CurlLoop(loop, max_idle_connections)
        self._idle: list[Transfer] = []
        self._loop, self._resolver = loop, Resolver(loop, min(self._limits), look_up)
        self._seeking: dict[asyncio.Task[None], Transfer] = {}

    @property
    def in_flight(self) -> int:
        return self._transfers.in_flight + len(self._seeking)

    def post(self, request: Request, on_answer: OnAnswer) -> None:
        """Send it; `on_answer` is called once, later, on the loop's thread, and may post again."""
        transfer = self._idle.pop() if self._idle else self._new_transfer()
        transfer.begin(request, on_answer)
        name = name_in(request.url)
        if name is None:
            self._transfers.start(transfer.curl, transfer.end)
        elif (found := self._resolver.known(name[0])) and found.addresses:
            transfer.lead(*name, found)
            self._transfers.start(transfer.curl, transfer.end)
        else:
            seeking = self._loop.create_task(self._seek(transfer, *name))
            self._seeking[seeking] = transfer
            seeking.add_done_callback(lambda ended: self._seeking.pop(ended, None))

    def close(self) -> None:
        """Abort what is in flight; nobody is told. Not to be called from within `on_answer`."""
        self._transfers.close()
        for seeking, transfer in self._seeking.items():
            seeking.cancel()
            transfer.curl.close()
        self._seeking.clear()
        for transfer in self._idle:
            transfer.curl.close()
        self._idle.clear()

    async def _seek(self, transfer: Transfer, host: str, port: int) -> None:
        found = await self._resolver.find(host)
        if found.error is not None:
            transfer.fail(Outcome.DNS, found.error)
            return
        transfer.lead(host, port, found)
        transfer.shorten()
        self._transfers.start(transfer.curl, transfer.end)

    def _new_transfer(self) -> Transfer:
        return Transfer(self._policy, self._limits, self._ca_file, self._idle)
