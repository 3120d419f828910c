"""`ringback token changes`: the audit log of a token."""

import click
import msgspec

from api.serializers import change_answer
from ringback.cli.commands import Command
from ringback.cli.database_access import opened, vault
from ringback.cli.invocation import Invocation
from ringback.cli.output import print_json, print_table
from ringback.cli.parameter_types import TEXT, as_json
from schemas.ids import TokenId
from schemas.times import to_rfc3339
from schemas.tokens.audit_log import Change
from store.tokens.audit_log import list_changes
from store.tokens.tokens import Tokens


@click.command(cls=Command)
@click.argument("token_id", metavar="ID", type=TEXT)
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    help="Maximum number of changes.",
)
@as_json
@click.pass_obj
def changes(invocation: Invocation, token_id: str, limit: int, as_json: bool) -> None:
    """List the changes of a token, with who made them and from where, newest first."""
    with opened(invocation.settings) as database, database.read() as connection:
        Tokens(database, vault(invocation.settings)).get_in(connection, TokenId(token_id))
        rows = list_changes(connection, TokenId(token_id), limit).rows
    if as_json:
        print_json([change_answer(change) for change in rows])
    else:
        print_table(["AT", "WHAT", "BY", "FROM", "CHANGED"], [_row(change) for change in rows])


def _row(change: Change) -> list[str | None]:
    what = f"{change.action} ({change.type})" if change.type else change.action
    by = f"{change.actor.by} ({change.by_name})" if change.by_name else change.actor.by
    changed = "; ".join(
        f"{field}: {_text(before)} → {_text(after)}"
        for field, (before, after) in change.details.items()
    )
    return [to_rfc3339(change.at), what, by, change.actor.address, changed]


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
