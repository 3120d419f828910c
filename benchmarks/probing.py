"""A prober: asks /healthz every 50 ms, each time on a new connection, as a supervisor does. SIGTERM
ends it.

    python -m benchmarks.probing PORT      prints `Probes` as JSON when it ends

It is a separate process, so that its own work delays no probe. Started by `hostile`.
"""

import asyncio
import contextlib
import dataclasses
import json
import signal
import sys
import time

import uvloop

LIMIT_S = 10.0
"""A probe without a 200 by then has failed. Every failed probe counts as this long."""
_EVERY_S = 0.05
_REQUEST = b"GET /healthz HTTP/1.1\r\nhost: ringback\r\nconnection: close\r\n\r\n"


@dataclasses.dataclass(frozen=True)
class Probes:
    """How probes were answered. What was still open at the end counts as long as it had waited."""

    count: int
    failed: int
    p99_ms: float
    slowest_ms: float


class Prober:
    """Probes of one port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._took_s: list[float] = []
        self._open: dict[int, float] = {}
        self._failed = 0

    async def run(self, stop: asyncio.Event) -> Probes:
        """Probe until `stop`. A slow answer does not delay the next probe."""
        async with asyncio.TaskGroup() as group:
            tasks: list[asyncio.Task[None]] = []
            while not stop.is_set():
                tasks.append(group.create_task(self._probe(len(tasks))))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _EVERY_S)
            now = time.perf_counter()
            self._took_s += [now - began for began in self._open.values()]
            for task in tasks:
                task.cancel()
        return self._probes()

    async def _probe(self, number: int) -> None:
        began = self._open[number] = time.perf_counter()
        try:
            async with asyncio.timeout(LIMIT_S):
                is_alive = await self._ask()
        except OSError:  # TimeoutError is one
            is_alive = False
        del self._open[number]
        self._failed += not is_alive
        self._took_s.append(time.perf_counter() - began if is_alive else LIMIT_S)

    async def _ask(self) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(_REQUEST)
            return (await reader.readline()).startswith(b"HTTP/1.1 200")
        finally:
            writer.close()

    def _probes(self) -> Probes:
        ordered = sorted(self._took_s) or [LIMIT_S]
        p99_ms, slowest_ms = 1000 * ordered[int(len(ordered) * 0.99)], 1000 * ordered[-1]
        return Probes(len(self._took_s), self._failed, p99_ms, slowest_ms)


async def _main(port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(json.dumps(dataclasses.asdict(await Prober(port).run(stop))))


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1])))
