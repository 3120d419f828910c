"""`ringback emit`: publish sample events as a chat backend would, over HTTP with a token."""

import time
from collections.abc import Iterator

import click

from ringback.cli.commands import Command
from ringback.cli.emit_client import EmitPace, EmitTarget, Publishing, read_url
from ringback.cli.invocation import Invocation
from ringback.cli.output import print_json
from ringback.cli.parameter_types import EVENT_TYPE, TEXT, FiniteRange, Parsed, as_json
from ringback.cli.progress import progress
from schemas.errors import RingbackError
from schemas.events.samples import JsonObject, sample_event
from schemas.events.types import EventType
from schemas.ids import new_event_id
from schemas.times import now_ms, to_rfc3339


@click.command(cls=Command)
@click.argument("event_type", metavar="TYPE", type=EVENT_TYPE)
@click.option(
    "--count", type=click.IntRange(1), default=1, show_default=True, help="Number of events."
)
@click.option(
    "--rate",
    type=FiniteRange(0.001),
    help="Events per second, 0.001 or more. Default: as fast as they are accepted.",
)
@click.option(
    "--channel", type=TEXT, help="The channel of the events. Default: that of the sample."
)
@click.option(
    "--url",
    "address",
    type=Parsed("url", read_url),
    help="URL of the API. Default: RINGBACK_LISTEN on this machine.",
)
@as_json
@click.pass_obj
def command(
    invocation: Invocation,
    event_type: EventType,
    count: int,
    rate: float | None,
    channel: str | None,
    address: EmitTarget | None,
    as_json: bool,
) -> None:
    """Publish sample events through the API.

    TYPE is conversation.created, message.received or message.status. The token is RINGBACK_TOKEN in
    the environment or in ringback.env, and needs the permission events:publish.
    """
    token = invocation.token
    ids: list[str] = []
    started_s = time.monotonic()
    with progress("publishing", count, hidden=count == 1) as bar:

        def accepted(event_id: str) -> None:
            ids.append(event_id)
            bar.advance()

        try:
            Publishing(address or _local(invocation), token, EmitPace(rate), accepted).run(
                _samples(event_type, count, channel)
            )
        except RingbackError as error:
            raise RingbackError(
                f"{error}; {len(ids)} of {count} were accepted before" if ids else str(error)
            ) from error
    _print_result(ids, time.monotonic() - started_s, as_json)


def _local(invocation: Invocation) -> EmitTarget:
    return read_url(f"http://{invocation.settings.listen.reachable()}")


def _samples(event_type: EventType, count: int, channel: str | None) -> Iterator[JsonObject]:
    """Yield events, each about its own message or conversation. Statuses of one message would
    overtake each other.
    """
    for _ in range(count):
        event_id = new_event_id()
        event = sample_event(event_type, channel_id=channel) | {
            "id": event_id,
            "timestamp": to_rfc3339(now_ms()),
        }
        subject = event["data"].get("message") or event["data"]["conversation"]
        subject["id"] = f"{subject['id']}_{event_id.removeprefix('evt_')}"
        yield event


def _print_result(ids: list[str], took_s: float, as_json: bool) -> None:
    if as_json:
        print_json({"accepted": len(ids), "seconds": round(took_s, 3), "ids": ids})
    elif len(ids) == 1:
        click.echo(f"{ids[0]} accepted")
    else:
        click.echo(
            f"{len(ids)} events accepted in {took_s:.1f} s ({len(ids) / took_s:.0f} a second)"
        )
