"""`ringback token rotate-signing-secret` and `regenerate`: new secrets for a token."""

import datetime as dt

import click

from ringback.cli.commands import Command
from ringback.cli.database_access import opened_tokens
from ringback.cli.invocation import Invocation
from ringback.cli.output import print_facts, print_json
from ringback.cli.parameter_types import DURATION, TEXT, as_json
from ringback.cli.token_output import print_new_secrets
from schemas.ids import TokenId
from schemas.tokens.audit_log import COMMAND_LINE


@click.command("rotate-signing-secret", cls=Command)
@click.argument("token_id", metavar="ID", type=TEXT)
@click.option(
    "--overlap",
    type=DURATION,
    default=dt.timedelta(hours=24),
    show_default="24h",
    help="How long the old secret signs too.",
)
@as_json
@click.pass_obj
def rotate_signing_secret(
    invocation: Invocation, token_id: str, overlap: dt.timedelta, as_json: bool
) -> None:
    """Replace the signing secret."""
    with opened_tokens(invocation.settings) as (tokens, now):
        secret = tokens.rotate_signing_secret(TokenId(token_id), overlap, now, COMMAND_LINE)
    if as_json:
        print_json({"id": token_id, "signing_secret": secret})
    else:
        print_facts({"signing secret": secret})


@click.command(cls=Command)
@click.argument("token_id", metavar="ID", type=TEXT)
@click.option(
    "--overlap",
    type=DURATION,
    default=dt.timedelta(0),
    show_default="0s",
    help="How long the old token stays valid too.",
)
@as_json
@click.pass_obj
def regenerate(invocation: Invocation, token_id: str, overlap: dt.timedelta, as_json: bool) -> None:
    """Replace the token itself. The new one is shown only once."""
    with opened_tokens(invocation.settings) as (tokens, now):
        created = tokens.regenerate(TokenId(token_id), overlap, now, COMMAND_LINE)
        print_new_secrets(created, now, as_json)
