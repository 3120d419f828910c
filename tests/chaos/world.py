"""The world of a scenario: Ringback on services of the suite's own, a fault proxy before each of
them, receiver and load.

Called by the scenarios. Everything in it ends with its `with` block.
"""

import os
import pathlib
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import psutil  # type: ignore[import-untyped]  # it ships no types

from tests.chaos import counting
from tests.chaos.load import Event, Load, messages
from tests.chaos.proxy import Ear, FaultProxy
from tests.chaos.receiver import Receiver
from tests.chaos.watch import Watch
from tests.kit.platform import MESSAGE, message
from tests.kit.postgres import Postgres
from tests.kit.rabbit import Rabbit
from tests.kit.ringback import Ringback

SABOTAGE = pathlib.Path(__file__).with_name("sabotage")
"""Put before everything else on the path of sabotaged processes: Python runs its `sitecustomize`
first.
"""

_SETTLE_LIMIT_S = 90.0


class Nodes:
    """RabbitMQ and PostgreSQL, started by the code that created them, and used by one world after
    the other.
    """

    def __init__(self, rabbit: Rabbit, postgres: Postgres):
        self.rabbit, self.postgres = rabbit, postgres

    def clear(self) -> None:
        """Up, and with nothing of ours, whatever the scenario before did to them."""
        self.rabbit.thaw()
        if not self.rabbit.running:
            self.rabbit.start()
        if not self.postgres.running:
            self.postgres.start()
        self.rabbit.clear()


class Installation(Ringback):
    """Ringback whose processes may have more in their environment, such as sabotage."""

    def __init__(
        self,
        broker_url: str | None,
        database_url: str | None,
        environment: dict[str, str],
        dispatchers: int,
        workers: int,
        settings: dict[str, str],
    ):
        self._more = environment
        super().__init__(broker_url, database_url, dispatchers, workers, **settings)

    def _environment(self, broker_url: str | None, settings: dict[str, str]) -> dict[str, str]:
        return super()._environment(broker_url, settings) | self._more

    def pid(self, name: str) -> int:
        return self.processes[name].pid


class World:
    """Ringback and what it needs. `embedded`: in one process and without services. `direct`: no
    proxies, except for an ear, for scenarios that measure time. `settings` are `RINGBACK_` settings
    by their short name.
    """

    def __init__(
        self,
        nodes: Nodes,
        *,
        dispatchers: int = 1,
        workers: int = 1,
        embedded: bool = False,
        direct: bool = False,
        sabotaged: bool = False,
        broker_ear: Ear | None = None,
        **settings: str,
    ):
        self.nodes = nodes
        self._embedded, self._direct, self._sabotaged = embedded, direct, sabotaged
        self._dispatchers, self._workers, self._settings = dispatchers, workers, settings
        self._broker_ear = broker_ear
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.folder = pathlib.Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="ringback-chaos-"))
            )
            self.receiver = stack.enter_context(Receiver(self.folder))
            self.nodes.clear()
            self.broker = stack.enter_context(FaultProxy(self.nodes.rabbit.port, self._broker_ear))
            self.store = stack.enter_context(FaultProxy(self.nodes.postgres.port))
            self.ringback = self._install()
            stack.callback(self.ringback.close)
            self.watch = stack.enter_context(Watch(self._pids))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def subscribe(
        self, paths: list[str], host: str = "127.0.0.1", **fields: object
    ) -> dict[str, str]:
        """A token and a channel of its own for each path of the receiver: channel → path. In force
        when it returns, and all is warm.

        `fields` go into the tokens.
        """
        targets = {
            f"chn_{number}_{path.strip('/').replace('/', '_')}": path
            for number, path in enumerate(paths)
        }
        for channel, path in targets.items():
            self.ringback.token(
                channel,
                callbacks={MESSAGE: self.receiver.url(path, host)},
                channels=(channel,),
                wait=False,
                **fields,
            )
        self.ringback.wait_until_in_force()
        self.ringback.publisher.publish_many(
            [message(f"warm_{n}", channel="chn_nobody") for n in range(100)]
        )
        return targets

    def load(self, targets: dict[str, str], rate: float, prefix: str = "evt") -> Load:
        """Messages for these channels in turn, so many a second in all."""
        return self.load_of(messages(targets, prefix), rate)

    def load_of(self, events: Iterator[Event], rate: float) -> Load:
        token = self.ringback.publisher.token
        assert token is not None
        return Load(self.ringback.port, token, events, rate)

    def settle(
        self, load: Load, limit_s: float = _SETTLE_LIMIT_S, *, others_stay_open: bool = False
    ) -> counting.Tally:
        """Wait until all that was accepted has come and nothing is open that could come again, or
        for the limit; then count.

        `others_stay_open`: deliveries for callbacks that never answer are not waited for, nor is
        anything else that is open.
        """
        end_s = time.monotonic() + limit_s
        while not self._is_settled(load, others_stay_open) and time.monotonic() < end_s:
            time.sleep(0.2)
        return counting.tally(load.posted, self.receiver.arrivals())

    def _is_settled(self, load: Load, others_stay_open: bool) -> bool:
        return not counting.missing(load.posted, self.receiver.arrivals()) and (
            others_stay_open or self.nothing_open()
        )

    def nothing_open(self) -> bool:
        found = self.ringback.admin.call("GET", "/v1/deliveries?state=pending&limit=10")
        return found.status == 200 and not found.data["data"]

    def signal(self, name: str, number: signal.Signals) -> None:
        """To one process of Ringback; does not wait for what becomes of it."""
        os.kill(self.ringback.pid(name), number)

    def _install(self) -> Installation:
        environment = (
            {
                "PYTHONPATH": os.pathsep.join(
                    [str(SABOTAGE), *filter(None, [os.environ.get("PYTHONPATH")])]
                ),
                "CHAOS_FOLDER": str(self.folder),
            }
            if self._sabotaged
            else {}
        )
        broker_url, store_url = (
            (None, None) if self._embedded else (self._broker_url(), self._store_url())
        )
        return Installation(
            broker_url, store_url, environment, self._dispatchers, self._workers, self._settings
        )

    def _broker_url(self) -> str:
        return (
            self.nodes.rabbit.url
            if self._direct and self._broker_ear is None
            else _through(self.nodes.rabbit.url, self.broker)
        )

    def _store_url(self) -> str:
        url = self.nodes.postgres.fresh_database()
        return url if self._direct else _through(url, self.store)

    def _pids(self) -> dict[str, int]:
        return {
            name: process.pid
            for name, process in self.ringback.processes.items()
            if process.poll() is None
        }


def kill_postgres(node: Postgres) -> None:
    """`kill -9` of all of it at once; `start` follows its own way back."""
    first = psutil.Process(int((node.dir / "data" / "postmaster.pid").read_text().split()[0]))
    processes = [first, *first.children(recursive=True)]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, 20)
    node.running = False


def _through(url: str, proxy: FaultProxy) -> str:
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{proxy.port}"))
