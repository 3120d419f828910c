"""How subcommands print: JSON for programs, lines and columns for people."""

import json
import re
import sys
from collections.abc import Mapping, Sequence

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.texts import spelled_out

_WIDTH = 240
"""Columns of a table, whatever the terminal has. Larger: a narrow terminal breaks more lines.
Smaller: delivery ids are folded, and cannot be copied in one piece.
"""

_NOTHING = "-"
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def print_json(value: object) -> None:
    """Print JSON. Characters that the encoding lacks are escaped, and so not lost."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = _NOT_ASCII.sub(lambda match: json.dumps(match[0])[1:-1], text)
    click.echo(text)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
    """Print a table. Markup in a text is not interpreted, and characters that would control a
    terminal are spelled out.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(spelled_out(cell or _NOTHING)) for cell in row))
    Console(width=_WIDTH).print(table)


def print_facts(facts: Mapping[str, str | None]) -> None:
    """Print one fact per line, names first."""
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name:{width}}  {spelled_out(value or _NOTHING)}")
