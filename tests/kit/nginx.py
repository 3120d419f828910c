"""A private nginx, with configurations of ours in a folder of its own: nothing of the machine's nginx is read, written or listened on.

Runs as whoever runs the tests. Missing it fails the tests that need it.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
from typing import Self

from tests.kit.waiting import wait_for

_MAIN = """\
{user}worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/conf.d/*.conf;
}}
"""


class Nginx:
    """A context manager, started with what is in `conf_d`; at its end nothing is left."""

    def __init__(self) -> None:
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ringback-nginx-"))
        self.conf_d = self.dir / "conf.d"
        self.conf_d.mkdir()
        user = "user root;\n" if os.geteuid() == 0 else ""  # the folder is its owner's alone
        (self.dir / "nginx.conf").write_text(_MAIN.format(user=user, folder=self.dir))
        self.command = [_program(), "-e", "stderr", "-p", str(self.dir), "-c", str(self.dir / "nginx.conf")]

    def __enter__(self) -> Self:
        with (self.dir / "said").open("wb") as out:
            self._process = subprocess.Popen([*self.command, "-g", "daemon off;"], stdout=out, stderr=out, start_new_session=True)
        wait_for("nginx to run", self._runs)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
        shutil.rmtree(self.dir)

    def run(self, *arguments: str) -> None:
        """The program beside it, as `nginx -s reload`."""
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr

    def _runs(self) -> bool:
        assert self._process.poll() is None, (self.dir / "said").read_text()
        return (self.dir / "pid").exists()


def _program() -> str:
    found = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    assert found, "no nginx here, and the configuration for it must be run: apt-get install nginx"
    return found
