"""`ringback export FILE.xlsx`: everything about all tokens but their secrets. The file is complete
or absent.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from ringback.cli.commands import Command
from ringback.cli.database_access import opened, vault
from ringback.cli.invocation import Invocation
from ringback.cli.progress import Bar, progress
from schemas.errors import RingbackError
from schemas.times import now_ms
from store.stats.by_token import count_deliveries
from store.tokens.export import Everything
from web.exports.spreadsheets import Cell, Sheet, write_workbook
from web.exports.token_sheets import token_sheets

_STRIDE = 1_000
"""Rows between two updates of the bar. More: the bar moves in jumps. Fewer: updating it takes
longer than writing the rows.
"""


@click.command(cls=Command)
@click.argument("file", metavar="FILE.xlsx", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def command(invocation: Invocation, file: Path) -> None:
    """Export all tokens, without secrets, to an Excel workbook.

    It has a sheet each for details with counts of deliveries, for permissions, and for callbacks
    with their health. Revoked tokens are included. An existing file is replaced once the new one is
    complete.
    """
    if file.suffix.lower() != ".xlsx":
        raise click.BadParameter(f"{file}: a workbook's name ends in .xlsx", param_hint="FILE.xlsx")
    now = now_ms()
    with opened(invocation.settings) as database, _replaced_when_whole(file) as unfinished:
        everything = Everything(database, vault(invocation.settings))
        with progress("counting deliveries", 0) as bar:
            counts = count_deliveries(database, lambda seen: bar.show(seen, 0))
        with progress(
            "writing rows", 2 * everything.tokens_total + everything.callbacks_total
        ) as bar:
            write_workbook(
                unfinished, [_shown(sheet, bar) for sheet in token_sheets(everything, counts, now)]
            )
    click.echo(f"{file}: tokens {everything.tokens_total}, callbacks {everything.callbacks_total}")


@contextmanager
def _replaced_when_whole(file: Path) -> Iterator[Path]:
    """Yield a file in the same folder that replaces `file` at the end. Only its owner may read it,
    as it holds names and addresses of suppliers.
    """
    try:
        with tempfile.NamedTemporaryFile(
            dir=file.parent, prefix=f".{file.name}-", delete=False
        ) as temporary:
            unfinished = Path(temporary.name)
        try:
            yield unfinished
            unfinished.replace(file)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise RingbackError(f"cannot write {file}: {error.strerror or error}") from error


def _shown(sheet: Sheet, bar: Bar) -> Sheet:
    return replace(sheet, rows=_advancing(sheet, bar))


def _advancing(sheet: Sheet, bar: Bar) -> Iterator[Sequence[Cell]]:
    for number, row in enumerate(sheet.rows, 1):
        yield row
        if number % _STRIDE == 0:
            bar.advance(_STRIDE)
