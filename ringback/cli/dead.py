"""`ringback dead …`: messages that are not valid events, of the broker and of the outbox."""

import click

from exchange.dead_letters import DeadLetter
from ringback.cli.commands import Group
from ringback.cli.dead_names import LetterName, LetterNameType, shown_name
from ringback.cli.dead_stores import dead_letter_stores
from ringback.cli.invocation import Invocation
from ringback.cli.output import print_facts, print_json, print_table
from ringback.cli.parameter_types import as_json
from schemas.texts import spelled_out
from schemas.times import to_rfc3339

_BEGINNING = 60
"""Characters of a message on a list. More: lines that wrap. Fewer: messages look alike."""

_names = click.argument("names", metavar="[N[:MARK]]...", nargs=-1, type=LetterNameType())


@click.group(cls=Group)
def command() -> None:
    """Inspect, replay, or delete dead-lettered messages.

    A dead letter is a message that is not a valid event. They are numbered from 1, oldest first.
    The mark after the number belongs to the letter itself: a name with it (2:9f3c), or the mark
    alone (9f3c), never means another letter, even when letters came or went since. A letter that is
    replayed and still is not a valid event comes back here, as the last.
    """


@command.command("list")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Maximum number of letters.",
)
@as_json
@click.pass_obj
def list_(invocation: Invocation, limit: int, as_json: bool) -> None:
    """List dead letters, oldest first, with the reason of each."""
    with dead_letter_stores(invocation.settings) as stores:
        letters = stores.first(limit)
        count = max(stores.count(), len(letters))
    if as_json:
        print_json([_as_json(number, letter) for number, letter in enumerate(letters, 1)])
        return
    print_table(
        ["N", "ACCEPTED", "ID", "BYTES", "REASON", "BEGINS"],
        [_row(number, letter) for number, letter in enumerate(letters, 1)],
    )
    if count > len(letters):
        click.echo(f"the first {len(letters)} of {count}: see --limit")


@command.command()
@click.argument("name", metavar="N[:MARK]", type=LetterNameType())
@as_json
@click.pass_obj
def show(invocation: Invocation, name: LetterName, as_json: bool) -> None:
    """Show one dead letter in full."""
    with dead_letter_stores(invocation.settings) as stores:
        number, letter = stores.find(name)
    if as_json:
        print_json(_as_json(number, letter) | {"body": letter.body.decode(errors="replace")})
        return
    print_facts(
        {
            "number": shown_name(number, letter),
            "accepted": _accepted(letter),
            "id": letter.message_id,
            "reason": letter.reason,
        }
    )
    click.echo()
    click.echo(spelled_out(letter.body.decode(errors="replace"), keep="\n\t"))


@command.command()
@_names
@as_json
@click.pass_obj
def replay(invocation: Invocation, names: tuple[LetterName, ...], as_json: bool) -> None:
    """Publish dead letters again: all, or those named.

    Use it once the cause is fixed, such as an upgrade, or a database that refused. A message that
    was delivered after all is not sent twice.
    """
    with dead_letter_stores(invocation.settings) as stores:
        count = stores.replay(names)
    _print_count(count, "replayed", as_json)


@command.command()
@_names
@as_json
@click.pass_obj
def drop(invocation: Invocation, names: tuple[LetterName, ...], as_json: bool) -> None:
    """Delete dead letters for good: all, or those named."""
    with dead_letter_stores(invocation.settings) as stores:
        count = stores.drop(names)
    _print_count(count, "dropped", as_json)


def _print_count(count: int, participle: str, as_json: bool) -> None:
    if as_json:
        print_json({participle: count})
    else:
        click.echo(f"{count} {participle}" if count else "there are no dead letters")


def _as_json(number: int, letter: DeadLetter) -> dict[str, object]:
    return {
        "number": number,
        "mark": letter.mark,
        "reason": letter.reason,
        "message_id": letter.message_id,
        "accepted_at": None if letter.accepted_at is None else to_rfc3339(letter.accepted_at),
        "size_bytes": len(letter.body),
    }


def _row(number: int, letter: DeadLetter) -> list[str | None]:
    beginning = letter.body[: 4 * _BEGINNING].decode(errors="replace")[:_BEGINNING]
    return [
        shown_name(number, letter),
        _accepted(letter),
        letter.message_id,
        str(len(letter.body)),
        letter.reason,
        beginning,
    ]


def _accepted(letter: DeadLetter) -> str:
    return "directly, by AMQP" if letter.accepted_at is None else to_rfc3339(letter.accepted_at)
