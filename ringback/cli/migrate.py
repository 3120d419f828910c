"""`ringback migrate`: bring the database's schema and the broker's exchanges and queues to what
this program needs.
"""

import click

from ringback.cli.commands import Command
from ringback.cli.invocation import Invocation
from ringback.private_files import make_database_file
from schemas.errors import ExchangeUnavailable
from store.engine import migrate
from store.engine.database import Database


@click.command(cls=Command)
@click.pass_obj
def command(invocation: Invocation) -> None:
    """Bring the database and the broker's queues up to date.

    Exit status 1 when a policy of the broker loses events.
    It is safe to run at any time, and several times at once. `serve` does it itself on SQLite.
    """
    settings = invocation.settings
    make_database_file(settings.sqlite_path)
    database = Database(settings.database_url)
    try:
        migrate.upgrade(database)
    finally:
        database.close()
    click.echo(f"database: up to date ({migrate.head()})")
    if settings.broker_url:
        _declare(";".join(settings.broker_url))


def _declare(broker_url: str) -> None:
    from exchange.rabbit.admin import declare
    from exchange.rabbit.policies import advice, harms

    declare(broker_url)
    click.echo("broker: exchanges and queues are declared")
    if harmful := list(harms(broker_url)):
        raise ExchangeUnavailable(advice(harmful))
