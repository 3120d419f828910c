"""`ringback deliveries …`: what was delivered, what was not and why, and one more try, worked on in the database."""

import click

from api.showing import delivery_answer
from ringback.cli.invocation import Invocation
from ringback.cli.printing import print_json, print_table
from ringback.cli.stored import opened, vault
from ringback.cli.values import EVENT_TYPE, TIME, as_json, one_of
from schemas.deliveries import DeliveryState
from schemas.event_types import EventType
from schemas.ids import DeliveryId, TokenId
from schemas.listings import DeliveryFilter, ListedDelivery
from schemas.times import UnixMs, now_ms, to_rfc3339
from store.delivery_listings import list_deliveries
from store.requests import request_retry
from store.tokens import Tokens


@click.group()
def command() -> None:
    """Look at deliveries and try them again."""


@command.command("list")
@click.option("--token", metavar="ID", help="Only of this token.")
@click.option("--type", "kind", type=EVENT_TYPE, help="Only of this event type.")
@click.option("--state", type=one_of(DeliveryState), help="Only those: pending, delivered, exhausted, superseded, cancelled or held.")
@click.option("--since", type=TIME, help="Made then or later, such as 2026-12-01T00:00:00Z.")
@click.option("--until", type=TIME, help="Made before.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many at most.")
@as_json
@click.pass_obj
def list_(
    invocation: Invocation,
    token: str | None,
    kind: EventType | None,
    state: DeliveryState | None,
    since: UnixMs | None,
    until: UnixMs | None,
    limit: int,
    as_json: bool,
) -> None:
    """List deliveries, newest first."""
    chosen = DeliveryFilter(token=TokenId(token) if token else None, type=kind, state=state, since=since, until=until)
    with opened(invocation.settings) as database, database.read() as connection:
        found = list_deliveries(connection, chosen, limit).rows
    if as_json:
        print_json([delivery_answer(delivery) for delivery in found])
    else:
        print_table(["ID", "MADE", "TYPE", "STATE", "LAST ATTEMPT", "NEXT ATTEMPT", "CALLBACK"], [_row(delivery) for delivery in found])


@command.command()
@click.argument("delivery_id", metavar="ID")
@as_json
@click.pass_obj
def retry(invocation: Invocation, delivery_id: str, as_json: bool) -> None:
    """Have one attempt made now, beside the automatic ones.

    A dispatcher makes it; `ringback deliveries list` shows how it ended.
    """
    with opened(invocation.settings) as database:
        attempt_id = request_retry(database, Tokens(database, vault(invocation.settings)), DeliveryId(delivery_id), now_ms())
    if as_json:
        print_json({"attempt_id": attempt_id})
    else:
        click.echo(f"{delivery_id} is tried again, as {attempt_id}")


def _row(delivery: ListedDelivery) -> list[str | None]:
    state = f"{delivery.state} ({delivery.reason})" if delivery.reason else delivery.state
    upcoming = None if delivery.next_attempt_at is None else to_rfc3339(delivery.next_attempt_at)
    return [delivery.id, to_rfc3339(delivery.created_at), delivery.type, state, _last(delivery), upcoming, delivery.url]


def _last(delivery: ListedDelivery) -> str | None:
    if delivery.status_code is not None:
        return f"{delivery.outcome} ({delivery.status_code})"
    return delivery.outcome
