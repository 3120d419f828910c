"""`ringback emit`: sample events, published as a chat backend would: over HTTP, with a token."""

import time
from collections.abc import Iterator
from typing import Any

import click

from ringback.cli.commands import Command
from ringback.cli.emit_client import EmitTarget, Publishing, Throttle, read_url
from ringback.cli.invocation import Invocation
from ringback.cli.output import print_json
from ringback.cli.parameter_types import EVENT_TYPE, TEXT, FiniteRange, Parsed, as_json
from ringback.cli.progress import progress
from schemas.errors import RingbackError
from schemas.events.samples import sample_event
from schemas.events.types import EventType
from schemas.ids import new_event_id
from schemas.times import now_ms, to_rfc3339


@click.command(cls=Command)
@click.argument("kind", metavar="TYPE", type=EVENT_TYPE)
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="How many.")
@click.option(
    "--rate",
    type=FiniteRange(0.001),
    help="How many a second, 0.001 or more. Default: as fast as they are taken.",
)
@click.option(
    "--channel", type=TEXT, help="The channel that they come from. Default: the sample's."
)
@click.option(
    "--url",
    "address",
    type=Parsed("url", read_url),
    help="Where the API is. Default: this machine's, by RINGBACK_LISTEN.",
)
@as_json
@click.pass_obj
def command(
    invocation: Invocation,
    kind: EventType,
    count: int,
    rate: float | None,
    channel: str | None,
    address: EmitTarget | None,
    as_json: bool,
) -> None:
    """Publish sample events through the API.

    TYPE is conversation.created, message.received or message.status. The token, with
    events:publish, is RINGBACK_TOKEN in the environment or in ringback.env.
    """
    token = invocation.token
    ids: list[str] = []
    started_s = time.monotonic()
    with progress("publishing", count, hidden=count == 1) as bar:

        def accepted(event_id: str) -> None:
            ids.append(event_id)
            bar.advance()

        try:
            Publishing(address or _local(invocation), token, Throttle(rate), accepted).run(
                _samples(kind, count, channel)
            )
        except RingbackError as error:
            raise RingbackError(
                f"{error}; {len(ids)} of {count} were accepted before" if ids else str(error)
            ) from error
    _tell(ids, time.monotonic() - started_s, as_json)


def _local(invocation: Invocation) -> EmitTarget:
    return read_url(f"http://{invocation.settings.listen.reachable()}")


def _samples(kind: EventType, count: int, channel: str | None) -> Iterator[dict[str, Any]]:
    """Each about a message or a conversation of its own: else the statuses of one message would
    overtake each other.
    """
    for _ in range(count):
        event_id = new_event_id()
        event = sample_event(kind, channel_id=channel) | {
            "id": event_id,
            "timestamp": to_rfc3339(now_ms()),
        }
        about = event["data"].get("message") or event["data"]["conversation"]
        about["id"] = f"{about['id']}_{event_id.removeprefix('evt_')}"
        yield event


def _tell(ids: list[str], took_s: float, as_json: bool) -> None:
    if as_json:
        print_json({"accepted": len(ids), "seconds": round(took_s, 3), "ids": ids})
    elif len(ids) == 1:
        click.echo(f"{ids[0]} accepted")
    else:
        click.echo(
            f"{len(ids)} events accepted in {took_s:.1f} s ({len(ids) / took_s:.0f} a second)"
        )
