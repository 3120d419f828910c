"""`ringback deliveries …`: what was delivered, what was not and why, and a retry by hand, all in
the database.
"""

from itertools import islice

import click

from api.serializers import delivery_answer, delivery_detail_answer
from ringback.cli.commands import Group
from ringback.cli.database_access import opened, vault
from ringback.cli.deliveries_recover import recover
from ringback.cli.invocation import Invocation
from ringback.cli.output import print_facts, print_json, print_table
from ringback.cli.parameter_types import EVENT_TYPE, TEXT, TIME, as_json, one_of
from schemas.deliveries.deliveries import Attempt, DeliveryState, Outcome
from schemas.errors import NotFound
from schemas.events.types import EventType
from schemas.ids import DeliveryId, TokenId
from schemas.listings import DeliveryFilter, ListedDelivery
from schemas.times import UnixMs, to_rfc3339, to_rfc3339_or_none
from schemas.tokens.masking import masked_url
from store.deliveries.listing import every_delivery, get_delivery
from store.deliveries.requested_attempts import request_retry
from store.tokens.tokens import Tokens

_COLUMNS = ("id", "created", "type", "state", "last attempt", "next attempt", "callback")
_id = click.argument("delivery_id", metavar="ID", type=TEXT)


@click.group(cls=Group)
def command() -> None:
    """Inspect, retry and recover deliveries."""


command.add_command(recover)


@command.command("list")
@click.option("--token", metavar="ID", type=TEXT, help="Only deliveries of this token.")
@click.option("--type", "event_type", type=EVENT_TYPE, help="Only this event type.")
@click.option(
    "--state",
    type=one_of(DeliveryState),
    help="pending, delivered, exhausted, superseded, cancelled or held.",
)
@click.option(
    "--since", type=TIME, help="Created at or after this time, such as 2026-12-01T00:00:00Z."
)
@click.option("--until", type=TIME, help="Created before this time.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    help="Maximum number of deliveries.",
)
@as_json
@click.pass_obj
def list_(
    invocation: Invocation,
    token: str | None,
    event_type: EventType | None,
    state: DeliveryState | None,
    since: UnixMs | None,
    until: UnixMs | None,
    limit: int,
    as_json: bool,
) -> None:
    """List deliveries, newest first."""
    selected = DeliveryFilter(
        token=TokenId(token) if token else None,
        type=event_type,
        state=state,
        since=since,
        until=until,
    )
    with opened(invocation.settings) as database:
        # A page may hold fewer than `limit`, so more than one may be read.
        rows = list(islice(every_delivery(database, selected, limit), limit))
    if as_json:
        print_json([delivery_answer(delivery) for delivery in rows])
    else:
        print_table([column.upper() for column in _COLUMNS], [_row(delivery) for delivery in rows])


@command.command()
@_id
@as_json
@click.pass_obj
def show(invocation: Invocation, delivery_id: str, as_json: bool) -> None:
    """Show a delivery with its attempts, and why they failed."""
    with opened(invocation.settings) as database, database.read() as connection:
        detail = get_delivery(connection, DeliveryId(delivery_id))
    if detail is None:
        raise NotFound(f"there is no delivery {delivery_id}")
    if as_json:
        print_json(delivery_detail_answer(detail))
        return
    print_facts(dict(zip(_COLUMNS, _row(detail.delivery), strict=True)))
    click.echo()
    print_table(
        ["NUMBER", "STARTED", "TRIGGER", "OUTCOME", "TOOK", "ERROR"],
        [_attempt_row(attempt) for attempt in detail.attempts],
    )


@command.command()
@_id
@as_json
@click.pass_obj
def retry(invocation: Invocation, delivery_id: str, as_json: bool) -> None:
    """Retry a delivery now, in addition to its schedule.

    A dispatcher makes the attempt; `ringback deliveries show` shows its result.
    """
    with opened(invocation.settings) as database:
        attempt_id = request_retry(
            database, Tokens(database, vault(invocation.settings)), DeliveryId(delivery_id)
        )
    if as_json:
        print_json({"attempt_id": attempt_id})
    else:
        click.echo(f"{delivery_id} is retried, as {attempt_id}")


def _row(delivery: ListedDelivery) -> list[str | None]:
    state = f"{delivery.state} ({delivery.reason})" if delivery.reason else delivery.state
    upcoming = to_rfc3339_or_none(delivery.next_attempt_at)
    last = _ended(delivery.outcome, delivery.status_code)
    event_type = f"{delivery.type} (test)" if delivery.is_test else delivery.type
    created = to_rfc3339(delivery.created_at)
    url = delivery.url and masked_url(delivery.url)
    return [delivery.id, created, event_type, state, last, upcoming, url]


def _attempt_row(attempt: Attempt) -> list[str | None]:
    ended = _ended(attempt.outcome, attempt.status_code)
    return [
        str(attempt.number),
        to_rfc3339(attempt.started_at),
        attempt.trigger,
        ended,
        f"{attempt.duration_ms} ms",
        attempt.error,
    ]


def _ended(outcome: Outcome | None, status_code: int | None) -> str | None:
    return outcome if status_code is None else f"{outcome} ({status_code})"
