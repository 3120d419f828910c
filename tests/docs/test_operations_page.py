"""The page for operations, run as it is printed, and the check of token-format.md."""

import pathlib
import re
import subprocess
from typing import Any

from sqlalchemy.engine import make_url

from schemas.log_events import LogEvent
from schemas.tokens.secrets import new_signing_secret, new_token, signing_secret_text
from tests.docs.pages import ROOT, code, read
from tests.docs.shell import Shell, swaps
from tests.kit.ringback import Ringback

OPERATIONS, TOKEN_FORMAT = read("docs/operations.md"), read("docs/token-format.md")


def test_operations_can_look_stop_and_back_up_embedded(
    embedded: Ringback, tmp_path: pathlib.Path
) -> None:
    """Copied from the page into a runbook, so it has to work."""
    folder = tmp_path / "x"
    with Shell(
        folder,
        swaps(embedded),
        **{k: v for k, v in embedded.env.items() if k.startswith("RINGBACK_")},
    ) as shell:
        (folder / "var").symlink_to(embedded.dir)
        (embedded.dir / "secret-key").write_text("kept next to the database in embedded mode")

        health, _ = OPERATIONS.in_section("Health", "sh")
        looked = shell.run(health)
        assert looked.startswith('{"status":"alive"}{"status":"ready"}')
        assert 'ringback_events_accepted_total{type="message.received"}' in looked
        assert "tokens.xlsx: tokens 1" in shell.run(OPERATIONS.only("Export to Excel", "sh"))
        assert "up to date" in shell.run(OPERATIONS.only("Stopping and upgrading", "sh"))
        shell.run(OPERATIONS.in_section("Back-up", "sh")[0])
        shell.run(OPERATIONS.in_section("Room", "sh")[1])

        restored = {"RINGBACK_DATABASE_URL": f"sqlite:///{folder}/ringback-backup.db"}
        listed = subprocess.run(
            [".venv/bin/ringback", "token", "list"],
            cwd=folder,
            env=shell.env | restored,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "active" in listed.stdout


def test_every_log_event_is_described_with_its_level() -> None:
    """Alerts and filters are written from this table, and an error says what to do about it."""
    described = [
        (code(event)[0], level, meaning) for event, level, meaning in OPERATIONS.table("Log events")
    ]

    assert [(event, level) for event, level, _ in described] == [
        (event.value, event.level) for event in LogEvent
    ]
    assert [
        event for event, level, meaning in described if level == "error" and "." not in meaning
    ] == []


def test_the_secret_key_of_embedded_mode_is_replaced(tmp_path: pathlib.Path) -> None:
    """As the page says it, and with the old one gone everything can be read."""
    add, rekey, drop = OPERATIONS.in_section("Replacing the secret key", "sh")
    with Shell(tmp_path / "x", {}) as shell:
        shell.run(".venv/bin/ringback migrate && .venv/bin/ringback token create crm")
        kept = shell.folder / "var" / "secret-key"
        first = kept.read_text()

        shell.run(add)
        said = shell.run(rekey)
        shell.run(drop)

        assert "re-encrypted   1" in said
        assert first not in kept.read_text()
        assert (
            kept.stat().st_mode & 0o777
            == (shell.folder / "var" / "secret-key.old").stat().st_mode & 0o777
            == 0o600
        )
        assert "unreadable" not in shell.run(".venv/bin/ringback token list")


def test_tokens_are_told_from_other_text_as_the_page_says() -> None:
    """Secret scanners are set up from it."""
    names: dict[str, Any] = {}
    exec(TOKEN_FORMAT.only("A check in Python", "python"), names)
    (example,) = re.findall(r"`(rbk_\w{36})`", (ROOT / "docs/token-format.md").read_text())

    for token in (example, *(new_token() for _ in range(200))):
        text = f"curl -H 'Authorization: Bearer {token}'\nTOKEN={token};"
        assert names["tokens_in"](text) == [token, token]
        assert (
            names["tokens_in"](text.replace(token, token[:-1] + ("0" if token[-1] != "0" else "1")))
            == []
        )
        assert names["tokens_in"](f"x{token}") == names["tokens_in"](f"{token}x") == []
    for secret in (new_signing_secret(), "whsec_" + "A" * 32, signing_secret_text(b"\xff" * 64)):
        assert re.findall(names["SIGNING_SECRET"], f"secret={secret}, ") == [secret]


def test_operations_can_look_and_back_up_on_services(
    on_services: Ringback, tmp_path: pathlib.Path
) -> None:
    """A dispatcher answers for itself, and PostgreSQL is dumped with its own tool."""
    url = make_url(on_services.env["RINGBACK_DATABASE_URL"])
    printed = {
        "127.0.0.1:9464": f"127.0.0.1:{on_services.ports['dispatch-0']}",
        "//ringback:change-me@127.0.0.1:5432/ringback": f"//{url.username}:{url.password}@127.0.0.1:{url.port}/{url.database}",
    }
    with Shell(tmp_path / "x", printed) as shell:
        assert shell.run(OPERATIONS.in_section("Health", "sh")[1]) == '{"status":"ready"}'
        shell.run(OPERATIONS.in_section("Back-up", "sh")[1])
        assert (shell.folder / "ringback.dump").read_bytes().startswith(b"PGDMP")
        assert shell.run(OPERATIONS.in_section("Room", "sh")[0]).split() == ["ALTER", "TABLE"] * 4
