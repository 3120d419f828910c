"""The sender of HTTP requests. Knows neither deliveries nor retries: `dispatcher.dispatcher` calls
it, `dispatcher.verdict` judges the responses.

The `resolver` looks names up, a `transfer` does the rest. Everything runs on one event loop's
thread, with no coroutine per request.
"""

import asyncio

from dispatcher.http.ca_bundle import system_bundle
from dispatcher.http.curl_loop import CurlLoop
from dispatcher.http.messages import OnResponse, Request
from dispatcher.http.resolver import LookUp, Resolver, addresses_of, host_to_resolve
from dispatcher.http.transfer import Transfer
from schemas.deliveries.deliveries import Outcome
from schemas.tokens.target_policy import TargetPolicy

IDLE_CONNECTIONS = 256
"""Connections that are kept open for the next request. Larger: more file descriptors. Smaller: more
handshakes when more callbacks than that are busy.
"""


class Sender:
    """The sender of one event loop, used only on its thread. Timeouts are per request; lanes limit
    the number of requests.
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
        """Start without connections.

        `timeout_s` limits a request from the look-up to the end of the response, and
        `connect_timeout_s` to the end of the TLS handshake. `ca_file` replaces the system's
        certificate authorities. Raises UsageError when there are none.
        """
        self._policy, self._limits = policy, (timeout_s, connect_timeout_s)
        self._ca_file = ca_file or system_bundle()
        self._transfers = CurlLoop(loop, max_idle_connections)
        self._idle: list[Transfer] = []
        self._loop, self._resolver = loop, Resolver(loop, min(self._limits), look_up)
        self._resolving: dict[asyncio.Task[None], Transfer] = {}

    @property
    def in_flight(self) -> int:
        """The number of requests whose response has not come."""
        return self._transfers.in_flight + len(self._resolving)

    def post(self, request: Request, on_response: OnResponse) -> None:
        """Send a request. `on_response` is called once, later, on the loop's thread, and may post
        again.
        """
        transfer = self._idle.pop() if self._idle else self._new_transfer()
        transfer.begin(request, on_response)
        name = host_to_resolve(request.url)
        if name is None:
            self._transfers.start(transfer.curl, transfer.end)
        elif (cached := self._resolver.cached(name[0])) and cached.addresses:
            transfer.set_addresses(*name, cached)
            self._transfers.start(transfer.curl, transfer.end)
        else:
            resolving = self._loop.create_task(self._resolve(transfer, *name))
            self._resolving[resolving] = transfer
            resolving.add_done_callback(lambda ended: self._resolving.pop(ended, None))

    def close(self) -> None:
        """Abort the requests in flight without calling `on_response`. Must not be called from
        within `on_response`.
        """
        self._transfers.close()
        for resolving, transfer in self._resolving.items():
            resolving.cancel()
            transfer.curl.close()
        self._resolving.clear()
        for transfer in self._idle:
            transfer.curl.close()
        self._idle.clear()

    async def _resolve(self, transfer: Transfer, host: str, port: int) -> None:
        resolution = await self._resolver.resolve(host)
        if resolution.error is not None:
            transfer.fail(Outcome.DNS, resolution.error)
            return
        transfer.set_addresses(host, port, resolution)
        transfer.shorten()
        self._transfers.start(transfer.curl, transfer.end)

    def _new_transfer(self) -> Transfer:
        return Transfer(self._policy, self._limits, self._ca_file, self._idle)
