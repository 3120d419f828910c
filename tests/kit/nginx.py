"""A private nginx, with configurations of ours in a folder of its own: nothing of the machine's
nginx is read, written or listened on.

Runs as the user who runs the tests.
"""

import os
import subprocess

from tests.kit.programs import StartedProgram, path_of

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


class Nginx(StartedProgram):
    """Started with what is in `conf_d`."""

    name = "nginx"

    def __init__(self) -> None:
        super().__init__()
        self.conf_d = self.dir / "conf.d"
        self.conf_d.mkdir()
        user = "user root;\n" if os.geteuid() == 0 else ""  # the folder is its owner's alone
        (self.dir / "nginx.conf").write_text(_MAIN.format(user=user, folder=self.dir))
        self.call = [
            path_of("nginx"),
            "-e",
            "stderr",
            "-p",
            str(self.dir),
            "-c",
            str(self.dir / "nginx.conf"),
        ]
        self.command = [*self.call, "-g", "daemon off;"]

    def run(self, *arguments: str) -> None:
        """Run the program a second time, as in `nginx -s reload`."""
        done = subprocess.run(
            [*self.call, *arguments], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr

    def runs(self) -> bool:
        return (self.dir / "pid").exists()
