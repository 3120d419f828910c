"""Ringback as its users run it: processes of the installed program, on free ports, with a database
of their own.

`Ringback(...)` is `serve`, or `api` and some `dispatch` when it is given services. Everything ends
with `close`. A command takes a second to start: so the database and its first token are created
right here, and all other tokens through the API.
"""

import atexit
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from schemas.events.types import EventType
from schemas.times import now_ms
from schemas.tokens.fields import CallbackFields, TokenFields
from schemas.tokens.permissions import Permission
from store.engine import migrate
from store.engine.database import Connection, Database
from store.tokens.tokens import Tokens
from store.tokens.vault import Vault
from tests.kit.client import Client
from tests.kit.tokens import TESTER, token_fields
from tests.kit.waiting import free_port, wait_for

PROGRAM = str(pathlib.Path(sys.executable).with_name("ringback"))
START_LIMIT_S = 30

IN_FORCE_S = 1.0
"""The contract's promise: so long after its answer a change holds in every process."""

_SECRET_KEY = "a-secret-key-for-tests-only-0123456789"


class Ringback:
    """One installation. `settings` are `RINGBACK_` settings by their short name, such as
    `RETRY_SCHEDULE="1s,2s"`.
    """

    def __init__(
        self,
        broker_url: str | None = None,
        database_url: str | None = None,
        dispatchers: int = 1,
        workers: int = 1,
        quickstart: bool = False,
        **settings: str,
    ):
        """`quickstart`: as `make run` starts `serve`."""
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ringback-"))
        self.port = free_port()
        self.on_services = broker_url is not None
        self.dispatchers = (
            [f"dispatch-{number}" for number in range(dispatchers)]
            if self.on_services
            else ["serve"]
        )
        self.database_url = database_url or f"sqlite:///{self.dir}/ringback.db"
        self.env = self._environment(broker_url, settings)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}
        self._options = {
            "api": [f"--workers={workers}"],
            "serve": ["--quickstart"] if quickstart else [],
        }
        self._clients = contextlib.ExitStack()
        atexit.register(self.close)
        self.admin = self.publisher = self._clients.enter_context(
            Client(self.port, _lay(self.database_url))
        )
        try:
            self.start(*(["api"] if self.on_services else []), *self.dispatchers)
        except (
            BaseException
        ):  # those that did start would take the messages of the tests that follow
            self.close()
            raise

    def client(self, *permissions: str) -> Client:
        """A client with a token of its own."""
        return self._clients.enter_context(
            Client(self.port, self.token("client", *permissions, wait=False)["token"])
        )

    def token(
        self,
        name: str,
        *permissions: str,
        callbacks: dict[str, str] | None = None,
        channels: tuple[str, ...] | None = None,
        wait: bool = True,
        **fields: object,
    ) -> dict[str, Any]:
        """What the API answers: `id`, `token`, `signing_secret` and more. `callbacks` are URLs by
        type, `fields` go into the body.

        Returns once every process may be expected to know it. Without `wait` only the API may; of
        several, let the last one wait.
        """
        urls = {kind: {"url": url} for kind, url in (callbacks or {}).items()}
        visibility = {"channels": None if channels is None else list(channels)}
        body = {
            "name": name,
            "permissions": list(permissions),
            "visibility": visibility,
            "callbacks": urls,
        } | fields
        made: dict[str, Any] = self.admin.send("POST", "/v1/tokens", body)
        with Client(self.port, made["token"]) as client:
            client.call("GET", "/v1/me")  # a token that it does not know makes a process look
        if wait and self.on_services:
            self.wait_until_in_force()
        return made

    def many_tokens(
        self, fields: TokenFields, callbacks: Sequence[Mapping[EventType, CallbackFields]]
    ) -> list[str]:
        """One with each of these callbacks: their secrets. Made right in the database, all at once:
        by the API it takes minutes.
        """
        with contextlib.closing(OneTransaction(self.database_url)) as database, database.together():
            tokens = Tokens(database, Vault([_SECRET_KEY]))
            return [tokens.create(fields, owned, now_ms(), TESTER).secret for owned in callbacks]

    def wait_until_in_force(self) -> None:
        """What was changed holds in every process. That they all know it already shows nowhere, so
        the promise is taken at its word.
        """
        time.sleep(IN_FORCE_S)

    def run(self, *arguments: str, status: int = 0) -> str:
        """One command, to its end: what it printed."""
        done = subprocess.run(
            [PROGRAM, *arguments],
            env=self.env,
            cwd=self.dir,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, (
            f"ringback {' '.join(arguments)}: exit {done.returncode}: {done.stdout[-500:]} "
            f"{done.stderr[-1500:]}"
        )
        return done.stdout if status == 0 else done.stderr

    def start(self, *names: str) -> None:
        """Each `serve`, `api`, or `dispatch-…`, all at once; returns when they are ready."""
        for name in names:
            self.spawn(name)
        for name in names:
            wait_for(f"{name} to be ready", lambda name=name: self._ready(name), START_LIMIT_S)

    def spawn(self, name: str) -> subprocess.Popen[bytes]:
        """Start it, and wait for nothing."""
        command = name.partition("-")[0]
        port = self.ports[name] = free_port() if command == "dispatch" else self.port
        env = self.env | (
            {"RINGBACK_METRICS_LISTEN": f"127.0.0.1:{port}"} if command == "dispatch" else {}
        )
        options = self._options.get(command, [])
        with (self.dir / f"{name}.log").open("ab") as out:
            process = subprocess.Popen(
                [PROGRAM, command, *options],
                env=env,
                cwd=self.dir,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def stop(self, name: str, sig: signal.Signals = signal.SIGTERM, limit_s: float = 40) -> int:
        """Signal one process, and its exit status. A kill takes its children along, as a crash of
        the machine would.
        """
        process = self.processes[name]
        if sig is signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, sig)
        else:
            process.send_signal(sig)
        return process.wait(limit_s)

    def running(self) -> set[str]:
        """Names of the processes that have not ended."""
        return {name for name, process in self.processes.items() if process.poll() is None}

    def log(self, name: str) -> str:
        return (self.dir / f"{name}.log").read_text(errors="replace")

    def metrics(self, name: str) -> dict[str, float]:
        """Samples as they are written, such as `ringback_tokens{state="active"}`,
        and their values.
        """
        with Client(self.ports[name], None) as client:
            lines = client.call("GET", "/metrics").data.decode().splitlines()
        return {
            sample: float(value)
            for sample, _, value in (
                line.rpartition(" ") for line in lines if not line.startswith("#")
            )
        }

    def ready(self, name: str) -> dict[str, str]:
        """What `/readyz` says is missing, whether the process is ready without it or not."""
        with Client(self.ports[name], None) as client:
            answer = client.call("GET", "/readyz")
        missing: dict[str, str] = (
            answer.data.get("degraded", {}) if answer.status == 200 else answer.data["missing"]
        )
        return missing

    def close(self) -> None:
        self._clients.close()
        for process in self.processes.values():
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _environment(self, broker_url: str | None, settings: dict[str, str]) -> dict[str, str]:
        """Nothing of the machine's own settings."""
        env = {
            name: value for name, value in os.environ.items() if not name.startswith("RINGBACK_")
        } | {
            "RINGBACK_LISTEN": f"127.0.0.1:{self.port}",
            "RINGBACK_DATABASE_URL": self.database_url,
            "RINGBACK_ALLOW_TARGETS": "127.0.0.0/8",
            "RINGBACK_SECRET_KEY": _SECRET_KEY,
            "RINGBACK_RETRY_SCHEDULE": "1s,1s,2s,4s",
        }
        if broker_url:
            env["RINGBACK_BROKER_URL"] = broker_url
        return env | {f"RINGBACK_{name}": value for name, value in settings.items()}

    def _ready(self, name: str) -> bool:
        process = self.processes[name]
        assert process.poll() is None, (
            f"{name} ended with {process.returncode}: {self.log(name)[-3000:]}"
        )
        return not self.ready(name)


class OneTransaction(Database):
    """A database whose writes in `together` are committed at once, at its end."""

    _one: Connection | None = None

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        with super().write() as self._one:
            yield

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        assert self._one is not None, "outside of `together`"
        yield self._one


def _lay(database_url: str) -> str:
    """Tables, and a token that may publish and administer: its secret."""
    database = Database(database_url)
    migrate.upgrade(database)
    fields = token_fields("first", Permission.EVENTS_PUBLISH, Permission.PLATFORM_ADMIN)
    secret = Tokens(database, Vault([_SECRET_KEY])).create(fields, {}, now_ms(), TESTER).secret
    database.close()
    return secret
