"""Ringback as its users run it: processes of the installed program, on free ports, with a database of their own.

`Ringback(...)` is `serve`, or `api` and some `dispatch` when it is given services. Everything ends with `close`.
"""

import atexit
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import Any

from tests.kit.client import Client
from tests.kit.waiting import free_port, wait_for

PROGRAM = str(pathlib.Path(sys.executable).with_name("ringback"))
START_LIMIT_S = 30


class Ringback:
    """One installation. `settings` are `RINGBACK_` settings by their short name, such as `RETRY_SCHEDULE="1s,2s"`."""

    def __init__(self, broker_url: str | None = None, database_url: str | None = None, dispatchers: int = 1, **settings: str):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ringback-"))
        self.port = free_port()
        self.on_services = broker_url is not None
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("RINGBACK_")} | {
            "RINGBACK_LISTEN": f"127.0.0.1:{self.port}",
            "RINGBACK_DATABASE_URL": database_url or f"sqlite:///{self.dir}/ringback.db",
            "RINGBACK_ALLOW_TARGETS": "127.0.0.0/8",
            "RINGBACK_SECRET_KEY": "a-secret-key-for-tests-only-0123456789",
            "RINGBACK_RETRY_SCHEDULE": "1s,1s,2s,4s",
        }
        if broker_url:
            self.env["RINGBACK_BROKER_URL"] = broker_url
        self.env |= {f"RINGBACK_{name}": value for name, value in settings.items()}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}
        self._clients = contextlib.ExitStack()
        atexit.register(self.close)
        self.run("migrate")
        self.start("api" if self.on_services else "serve")
        for number in range(dispatchers if self.on_services else 0):
            self.start(f"dispatch-{number}")
        self.publisher = self.client("events:publish")
        self.admin = self.client("platform:admin")

    def client(self, *permissions: str) -> Client:
        """A client with a token of its own."""
        return self._clients.enter_context(Client(self.port, self.token("client", *permissions)["token"]))

    def token(
        self, name: str, *permissions: str, callbacks: dict[str, str] | None = None, channels: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """`{"id", "token", "signing_secret"}`, once every process may be expected to know it."""
        options = [f"--permission={p}" for p in permissions] + [f"--channel={c}" for c in channels]
        options += [f"--callback={kind}={url}" for kind, url in (callbacks or {}).items()]
        made: dict[str, Any] = json.loads(self.run("token", "create", name, "--json", *options))
        with Client(self.port, made["token"]) as client:
            wait_for("the token to be known", lambda: client.call("GET", "/v1/me").status == 200)
        return made

    def run(self, *arguments: str, status: int = 0) -> str:
        """One command, to its end: what it printed."""
        done = subprocess.run([PROGRAM, *arguments], env=self.env, cwd=self.dir, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == status, (
            f"ringback {' '.join(arguments)}: exit {done.returncode}: {done.stdout[-500:]} {done.stderr[-1500:]}"
        )
        return done.stdout if status == 0 else done.stderr

    def start(self, name: str) -> None:
        """`serve`, `api`, or `dispatch-…`; returns when it is ready."""
        command = name.partition("-")[0]
        port = self.ports[name] = free_port() if command == "dispatch" else self.port
        env = self.env | ({"RINGBACK_METRICS_LISTEN": f"127.0.0.1:{port}"} if command == "dispatch" else {})
        with (self.dir / f"{name}.log").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [PROGRAM, command], env=env, cwd=self.dir, stdout=out, stderr=out, start_new_session=True
            )
        wait_for(f"{name} to be ready", lambda: self._ready(name, port), START_LIMIT_S)

    def stop(self, name: str, sig: signal.Signals = signal.SIGTERM, limit_s: float = 40) -> int:
        """Signal one process, and its exit status. A kill takes its children along, as a crash of the machine would."""
        process = self.processes[name]
        if sig is signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, sig)
        else:
            process.send_signal(sig)
        return process.wait(limit_s)

    def log(self, name: str) -> str:
        return (self.dir / f"{name}.log").read_text(errors="replace")

    def metrics(self, name: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[name], timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()

    def close(self) -> None:
        self._clients.close()
        for process in self.processes.values():
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _ready(self, name: str, port: int) -> bool:
        process = self.processes[name]
        assert process.poll() is None, f"{name} ended with {process.returncode}: {self.log(name)[-3000:]}"
        with Client(port, None) as client:
            return client.call("GET", "/readyz").status == 200
