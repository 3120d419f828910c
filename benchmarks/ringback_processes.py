"""Starts Ringback as its users do: `migrate`, `token create`, then `api`, `dispatch` or `serve`,
with settings from the environment.
"""

import itertools
import json
import pathlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks import amqp
from benchmarks.children import Child, environment, running
from benchmarks.pipelines import Running
from benchmarks.stage import Stage
from tests.kit.waiting import free_port, wait_for

PROGRAM = str(pathlib.Path(sys.executable).with_name("ringback"))
_READY_LIMIT_S = 30.0


class Ringback:
    """The pipeline `ringback`. `callbacks` tokens with `permissions` are called for each event;
    `settings` are added to the usual ones.
    """

    name = "ringback"

    def __init__(
        self,
        stage: Stage,
        *,
        callbacks: int = 1,
        permissions: Sequence[str] = ("events:publish",),
        **settings: str,
    ) -> None:
        self._stage, self._callbacks, self._permissions = stage, callbacks, permissions
        self._runs = itertools.count()
        self._extra = {f"RINGBACK_{name}": value for name, value in settings.items()}
        self._settings: dict[str, str] = {}
        self._token = ""

    def prepare(self, *, prefilled: int = 0) -> None:
        self._stage.rabbit.clear()
        self._begin(
            RINGBACK_BROKER_URL=self._stage.rabbit.url,
            RINGBACK_DATABASE_URL=self._stage.postgres.fresh_database(),
        )
        amqp.fill(self._stage.rabbit.url, amqp.RINGBACK_EXCHANGE, prefilled)

    @contextmanager
    def api(self, workers: int) -> Iterator[Running]:
        port = free_port()
        with self._listening(["api", "--workers", str(workers)], port) as child:
            yield Running({"api": child.pid}, port, self._token)

    @contextmanager
    def dispatcher(self) -> Iterator[Running]:
        settings = {"RINGBACK_METRICS_LISTEN": f"127.0.0.1:{free_port()}"}
        with running(
            [PROGRAM, "dispatch"], self._log("dispatch"), self._settings | settings
        ) as child:
            yield Running({"dispatcher": child.pid})

    @contextmanager
    def on_services(self) -> Iterator[Running]:
        self.prepare()
        with self.dispatcher() as dispatcher, self.api(workers=1) as api:
            yield Running(
                {**api.roots, **dispatcher.roots, **self._stage.service_pids()},
                api.port,
                self._token,
            )

    @contextmanager
    def embedded(self) -> Iterator[Running]:
        self._begin(
            RINGBACK_DATABASE_URL=f"sqlite:///{self._stage.folder}/ringback-{next(self._runs)}.db"
        )
        port = free_port()
        with self._listening(["serve"], port) as child:
            yield Running({"serve": child.pid}, port, self._token)

    def _begin(self, **urls: str) -> None:
        """Create a database with its tokens. All are called, and the first also publishes."""
        usual = {
            "RINGBACK_ALLOW_TARGETS": "127.0.0.0/8",
            "RINGBACK_SECRET_KEY": "benchmark-" + "k" * 40,
        }
        self._settings = usual | urls | self._extra
        self.command("migrate")
        tokens = [self._create_token(number) for number in range(self._callbacks)]
        self._token = tokens[0]

    @property
    def database_url(self) -> str:
        return self._settings["RINGBACK_DATABASE_URL"]

    def make_token(self, name: str) -> dict[str, str]:
        """Create a token without permissions and callbacks, and return it with `id` and `token`."""
        created: dict[str, str] = json.loads(self.command("token", "create", name, "--json"))
        return created

    def _create_token(self, number: int) -> str:
        callback = f"message.received={self._stage.receiver.url}/hook/{number}"
        created = self.command(
            "token", "create", f"bench-{number}", "--json", "--callback", callback, *self._may()
        )
        return str(json.loads(created)["token"])

    def _may(self) -> Iterator[str]:
        for permission in self._permissions:
            yield from ("--permission", permission)

    def command(self, *words: str) -> str:
        """Return what a command printed. Raises RuntimeError with its error."""
        done = subprocess.run(
            [PROGRAM, *words],
            cwd=self._stage.folder,
            env=environment(self._settings),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"ringback {words[0]} failed: {done.stderr.strip()[-1500:]}")
        return done.stdout

    @contextmanager
    def _listening(self, words: list[str], port: int) -> Iterator[Child]:
        settings = self._settings | {"RINGBACK_LISTEN": f"127.0.0.1:{port}"}
        with running([PROGRAM, *words], self._log(words[0]), settings) as child:
            _wait_until_ready(child, port)
            yield child

    def _log(self, part: str) -> pathlib.Path:
        return self._stage.folder / f"ringback-{part}-{next(self._runs)}.log"


def _wait_until_ready(child: Child, port: int) -> None:
    def ready() -> bool:
        child.check()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)

    wait_for("/readyz answers 200", ready, _READY_LIMIT_S)
