"""How subcommands print tables."""

import io

import pytest

from ringback.cli.printing import print_table

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
