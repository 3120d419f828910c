"""The guide to protecting an API, followed as printed: with a real nginx, and by asking from
within.
"""

import json
import os
import pathlib
import re
import types
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import yaml

from schemas.tokens.permissions import Permission
from tests.docs.pages import code, read
from tests.docs.shell import Shell
from tests.docs.test_readme import Newcomer, end, fits
from tests.kit.nginx import Nginx
from tests.kit.ringback import Ringback
from tests.kit.service import Service
from tests.kit.waiting import free_port, wait_for

GUIDE = read("docs/gateways.md")
NGINX, ASKING = "A service behind nginx", "Asking from within the API"
PLATFORMS = [
    each
    for each in Permission
    if each not in {"events:publish", "tokens:introspect", "platform:admin"}
]


@pytest.fixture
def nginx() -> Iterator[Nginx]:
    with Nginx() as made:
        yield made


@pytest.fixture
def newcomer(tmp_path: pathlib.Path, nginx: Nginx) -> Iterator[Newcomer]:
    """In a clone; the machine's nginx is the private one, and where the page and the configuration
    print ports, ours are free ones.
    """
    made = Newcomer(tmp_path)
    ports = {"127.0.0.1:9200": free_port(), "127.0.0.1:8000": free_port()}
    made.shell.swaps = dict(made.shell.swaps) | {
        printed: f"127.0.0.1:{port}" for printed, port in ports.items()
    }
    made.shell.swaps |= {
        '("127.0.0.1", 9200)': f'("127.0.0.1", {ports["127.0.0.1:9200"]})',
        "/etc/nginx": str(nginx.dir),
    }
    _swap_ports(made, ports["127.0.0.1:8000"])
    made.shell.env |= {"PATH": f"{_programs(tmp_path / 'bin', nginx)}:{os.environ['PATH']}"}
    with made.shell:
        yield made


def _swap_ports(newcomer: Newcomer, listen: int) -> None:
    configuration = newcomer.shell.folder / "deploy/nginx/chat-api.conf"
    text = newcomer.shell.swapped(configuration.read_text())
    assert "listen 8000;" in text
    configuration.write_text(text.replace("listen 8000;", f"listen 127.0.0.1:{listen};"))


def _programs(folder: pathlib.Path, nginx: Nginx) -> pathlib.Path:
    """`sudo`, `apt-get` and `nginx` that leave the machine as it is."""
    folder.mkdir()
    programs = {
        "sudo": 'exec "$@"',
        "apt-get": "exit 0",
        "service": "exit 0",
        "nginx": f'exec {" ".join(nginx.call)} "$@"',
    }
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


def test_a_newcomer_protects_a_service_with_nginx(newcomer: Newcomer) -> None:
    """From the clone to the refusal of a revoked token."""
    shell = newcomer.shell
    trusting, making, serving, installing, token, *asking = GUIDE.in_section(NGINX, "sh")
    shown = GUIDE.in_section(NGINX, "text")

    shell.run(trusting)
    assert making.strip() == newcomer.make_run
    running = newcomer.start()
    shell.write("service.py", GUIDE.only(NGINX, "python"))
    shell.start(serving)
    shell.run(installing)
    shell.run(token)

    for block, text in zip(asking, shown, strict=True):
        wait_for(f"{text!r}", lambda block=block, text=text: fits(text, shell.run(_once(block))))
    assert end(running) == 0


def _once(block: str) -> str:
    """nginx and the service need a moment to listen, so that a block is pasted again; a token is
    revoked once only.
    """
    return re.sub(r"^(\S+ token revoke .*)$", r"\1 || true", block, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def ringback() -> Iterator[Ringback]:
    made = Ringback()
    yield made
    made.close()


def test_an_api_asks_as_the_page_shows(ringback: Ringback, tmp_path: pathlib.Path) -> None:
    """By curl; the answer has the fields that are shown and explained."""
    making, asking = GUIDE.in_section(ASKING, "sh")
    supplier = ringback.token(
        "ACME CRM",
        "conversations:read",
        channels=("chn_support",),
        expires_at="2999-01-01T00:00:00.000Z",
    )
    env = {name: value for name, value in ringback.env.items() if name.startswith("RINGBACK_")} | {
        "SUPPLIER": supplier["token"]
    }

    with Shell(tmp_path / "x", {"127.0.0.1:8080": f"127.0.0.1:{ringback.port}"}, **env) as shell:
        shell.run(making)
        answer = json.loads(shell.run(asking))

    shown = json.loads(GUIDE.only(ASKING, "json"))
    varying = {"client_id", "sub", "iat", "nbf", "exp", "request_id"}
    assert {name: answer[name] for name in answer if name not in varying} == {
        name: shown[name] for name in shown if name not in varying
    }
    assert list(answer) == list(shown)
    explained = [name for field, _ in GUIDE.table(ASKING) for name in code(field)]
    assert set(explained) == set(shown)


def _functions(monkeypatch: pytest.MonkeyPatch, token: str, port: int) -> types.SimpleNamespace:
    monkeypatch.setenv("RINGBACK_TOKEN", token)
    monkeypatch.setenv("RINGBACK_URL", f"http://127.0.0.1:{port}")
    names: dict[str, Any] = {}
    exec(GUIDE.only(ASKING, "python"), names)
    return types.SimpleNamespace(**names)


def test_the_python_functions_tell_who_may(
    ringback: Ringback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chat platforms begin by copying them."""
    api = _functions(monkeypatch, str(ringback.client("tokens:introspect").token), ringback.port)
    supplier = ringback.token("ACME CRM", "conversations:read", channels=("chn_support",))
    request = "GET", "/conversations", "198.51.100.7"

    may = api.check(supplier["token"], "conversations:read", *request)
    may_not = api.check(supplier["token"], "messages:send", *request)
    unknown = api.check("rbk_nonsense", "messages:send", *request)

    assert [api.refusal(found) for found in (may, may_not, unknown)] == [None, 403, 401]
    assert (api.may_see(may, "chn_support"), api.may_see(may, "chn_other")) == (True, False)


def test_the_python_function_reports_what_became_of_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the shape that `POST /v1/requests` takes."""
    with Service() as service:
        _functions(monkeypatch, "rbk_x", service.port).report("req_1", 200, 12)

    (asked,) = service.asked
    assert (asked.method, asked.path, asked.headers["authorization"]) == (
        "POST",
        "/v1/requests",
        "Bearer rbk_x",
    )
    assert json.loads(asked.body) == {
        "requests": [{"request_id": "req_1", "status": 200, "duration_ms": 12}]
    }


def test_traefik_forgets_every_spelling_of_what_it_tells() -> None:
    """To a service behind CGI or WSGI a hyphen and an underscore are one; what Ringback is asked is
    the configuration's own.
    """
    middlewares = yaml.safe_load(GUIDE.only("Traefik", "yaml"))["http"]["middlewares"]
    forgotten, asks = (
        middlewares["forget"]["headers"]["customRequestHeaders"],
        middlewares["ringback"]["forwardAuth"],
    )

    for name in asks["authResponseHeaders"]:
        parts = name.split("-")
        spelled = {
            parts[0] + "".join(f"{mark}{part}" for mark, part in zip(marks, parts[1:], strict=True))
            for marks in product("-_", repeat=len(parts) - 1)
        }
        assert spelled <= set(forgotten)
    assert set(forgotten.values()) == {""}
    assert asks["authRequestHeaders"] == ["Authorization", "User-Agent", "X-Required-Permission"]
    assert middlewares["conversations-read"]["chain"]["middlewares"] == [
        "forget",
        "ask-conversations-read",
        "ringback",
    ]


def test_every_permission_of_the_platform_has_a_place() -> None:
    """With the label that administrators know it by."""
    table = {code(permission)[0]: label for permission, label, _ in GUIDE.table("Permissions")}

    assert table == {str(each): each.label for each in PLATFORMS}
