"""A RabbitMQ node of the tests' own, from Debian's package: its own ports, folder, epmd and cookie.

The system's own node, if one runs, is never touched. A missing package is an error that says what
to install.
"""

import atexit
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator

import pika

from tests.kit.waiting import free_port, wait_for

_SERVER = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_START_LIMIT_S = 90
"""A node starts in 5 s on an idle machine; far more when other programs run at the same time."""


class Rabbit:
    """One node. `start`, `kill` (as a crash) and `stop` may follow each other; what queues hold
    survives.
    """

    def __init__(self) -> None:
        assert _SERVER.exists(), "no RabbitMQ here: apt-get install rabbitmq-server"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ringback-rabbit-"))
        self.port, self._epmd = free_port(), free_port()
        self._env = self._environment()
        self._process: subprocess.Popen[bytes] | None = None
        (self.dir / "plugins").write_text("[].\n")
        atexit.register(self.close)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with (self.dir / "stdout").open("ab") as out:
            self._process = subprocess.Popen(
                [_SERVER],
                env=self._env,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=self.dir,
            )
        wait_for("RabbitMQ answers", self._answers, _START_LIMIT_S)

    def kill(self) -> None:
        """`kill -9`: no goodbye to anybody.

        The node writes down three seconds late which log belongs to which quorum queue, and after a
        crash in between has a queue that was declared again `down` for ever (seen on 3.10).
        Production declares once, tests all the time: so that is written first.
        """
        self.ctl("eval", "[dets:sync(Table) || Table <- dets:all()].")
        self._end()

    def stop(self) -> None:
        """Stop in order: connections are closed by the protocol."""
        self._signal(signal.SIGTERM)
        if self._process is not None:
            self._process.wait(60)

    def freeze(self) -> None:
        """Silence: connections stay open, nothing answers. `thaw` ends it."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def clear(self) -> None:
        """Delete all that Ringback declares, so that the next test starts from nothing."""
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()
            for queue in ("ringback.dispatch", "ringback.returned", "ringback.dead"):
                channel.queue_delete(queue)
            for exchange in ("ringback.events", "ringback.returned", "ringback.dead"):
                channel.exchange_delete(exchange)

    def ctl(self, *args: str) -> str:
        """`rabbitmqctl …` on this node; takes a second or more. Returns what it printed."""
        command = ["/usr/lib/rabbitmq/bin/rabbitmqctl", "-q", *args]
        done = subprocess.run(
            command,
            env=self._env,
            cwd=self.dir,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"rabbitmqctl {' '.join(args)}: {done.stdout} {done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def policy(self, **definition: object) -> Iterator[None]:
        """For all queues; those of tests that come later would have it too if it stayed."""
        stated = json.dumps({name.replace("_", "-"): value for name, value in definition.items()})
        self.ctl("set_policy", "for-all", ".*", stated, "--apply-to", "queues")
        try:
            yield
        finally:
            self.ctl("clear_policy", "for-all")

    def publish(self, exchange: str, body: bytes, **properties: object) -> None:
        """Publish like a backend, with a confirm."""
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish(
                exchange,
                "",
                body,
                pika.BasicProperties(delivery_mode=2, **properties),
                mandatory=True,
            )

    def close(self) -> None:
        if not self.dir.exists():
            return
        self.thaw()
        self._end()
        wait_for("epmd ends", self._epmd_ended)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        """Nothing of the machine's RabbitMQ configuration, everything in our folder."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ")
        }
        return inherited | {
            "HOME": str(self.dir),  # where the Erlang cookie is made
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(self.dir / "data"),
            "RABBITMQ_LOG_BASE": str(self.dir / "log"),
            "RABBITMQ_PID_FILE": str(self.dir / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.dir / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._epmd),
        }

    def _answers(self) -> bytes:
        """A version that does not exist: the broker answers with its own."""
        assert self.running, f"RabbitMQ ended: {(self.dir / 'stdout').read_text()[-800:]}"
        with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(8)

    def _epmd_ended(self) -> bool:
        """It refuses for as long as it takes the node for alive:
        a moment more than the node lives.
        """
        command = ["epmd", "-port", str(self._epmd), "-kill"]
        done = subprocess.run(
            command, env=self._env, capture_output=True, text=True, timeout=20, check=False
        )
        return done.returncode == 0 or "Cannot connect" in done.stdout + done.stderr

    def _end(self) -> None:
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(20)

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group: the Erlang machine is a grandchild, behind a shell."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)
