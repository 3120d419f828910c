"""How subcommands print tables."""

import io

import pytest

from ringback.cli.output import print_facts, print_table
from schemas.texts import spelled_out

DELIVERY = "dlv_28e7bd7caaddb7b8_evt_01a20881b9c0758faf6209a4d60e9b0c"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_an_id_stays_in_one_piece_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there to be copied, into `deliveries retry` for example."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")

    print_table(["ID", "CALLBACK"], [[DELIVERY, "https://crm.example.com/webhooks"]])

    assert DELIVERY in terminal.getvalue()


def test_control_characters_are_spelled_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Names, reasons and bodies come from others: none may clear the reader's screen, or hide a
    line.
    """
    print_table(["NAME"], [["a\x1b[2Jb\nc"]])
    print_facts({"name": "a\x9b2Jb"})

    assert capsys.readouterr().out.split() == ["NAME", "a\\x1b[2Jb\\nc", "name", "a\\x9b2Jb"]
    assert spelled_out("株式会社\u3000山田 👩‍🔬") == "株式会社\u3000山田 👩‍🔬"
    assert spelled_out("caffè\t👋\n\r", keep="\n\t") == "caffè\t👋\n\\r"
