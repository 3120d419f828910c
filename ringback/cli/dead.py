"""`ringback dead …`: messages that were no events. On the broker, and in the outbox: embedded, or from while no broker answered."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import click

from exchange.dead import DeadLetter, DeadLetters
from ringback.cli.invocation import Invocation
from ringback.cli.printing import harmless, print_facts, print_json, print_table
from ringback.cli.progress import Bar, progress
from ringback.cli.stored import NotMigrated, opened
from ringback.cli.values import as_json
from ringback.settings import Settings
from schemas.errors import NotFound, StoreUnavailable
from schemas.times import to_rfc3339

_BEGINNING = 60
"""Characters of a message on a list. More: lines that break."""

_numbers = click.argument("numbers", metavar="[N]...", nargs=-1, type=click.IntRange(1))


@click.group()
def command() -> None:
    """Look at messages that were no events, put them back, throw them away.

    They are numbered from 1, the oldest. What is put back and still is no event comes back here.
    """


@command.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most.")
@as_json
@click.pass_obj
def list_(invocation: Invocation, limit: int, as_json: bool) -> None:
    """List them, oldest first, with why each was no event."""
    with _places(invocation.settings) as places:
        found = places.look(limit)
        count = max(places.count(), len(found))
    if as_json:
        print_json([_shown(number, letter) for number, letter in enumerate(found, 1)])
        return
    print_table(["N", "ACCEPTED", "ID", "BYTES", "REASON", "BEGINS"], [_row(number, letter) for number, letter in enumerate(found, 1)])
    if count > len(found):
        click.echo(f"the first {len(found)} of {count}: see --limit")


@command.command()
@click.argument("number", metavar="N", type=click.IntRange(1))
@as_json
@click.pass_obj
def show(invocation: Invocation, number: int, as_json: bool) -> None:
    """Show one, whole."""
    with _places(invocation.settings) as places:
        found = places.look(number)
    if len(found) < number:
        raise _no_such(number, len(found))
    letter = found[-1]
    if as_json:
        print_json(_shown(number, letter) | {"body": letter.body.decode(errors="replace")})
        return
    print_facts({"number": str(number), "accepted": _accepted(letter), "id": letter.message_id, "reason": letter.reason})
    click.echo()
    click.echo(harmless(letter.body.decode(errors="replace"), keep="\n\t"))


@command.command()
@_numbers
@as_json
@click.pass_obj
def replay(invocation: Invocation, numbers: tuple[int, ...], as_json: bool) -> None:
    """Put them back to where events come from: all, or those named.

    Worth it when what was wrong is mended: an upgrade, a database that refused. A message that arrived after all is not sent twice.
    """
    with _places(invocation.settings) as places:
        done = places.act(numbers, "putting back", replays=True)
    _tell(done, "replayed", "put back", as_json)


@command.command()
@_numbers
@as_json
@click.pass_obj
def drop(invocation: Invocation, numbers: tuple[int, ...], as_json: bool) -> None:
    """Throw them away, for good: all, or those named."""
    with _places(invocation.settings) as places:
        done = places.act(numbers, "throwing away", replays=False)
    _tell(done, "dropped", "thrown away", as_json)


@dataclass(frozen=True)
class _Places:
    """All places where dead letters lie, numbered through."""

    places: Sequence[DeadLetters]

    def count(self) -> int:
        return sum(place.count() for place in self.places)

    def look(self, most: int) -> list[DeadLetter]:
        found: list[DeadLetter] = []
        for place in self.places:
            found += place.look(most - len(found))
        return found

    def act(self, numbers: Collection[int], doing: str, *, replays: bool) -> int:
        """How many. Without numbers all that are there now. Raises NotFound, before anything is done."""
        counts = [place.count() for place in self.places]
        chosen = frozenset(numbers or range(1, sum(counts) + 1))
        if (highest := max(chosen, default=0)) > sum(counts):
            raise _no_such(highest, sum(counts))
        with progress(doing, len(chosen)) as bar:
            before = 0
            for place, count in zip(self.places, counts, strict=True):
                _act(place, {number - before for number in chosen if before < number <= before + count}, bar, replays)
                before += count
        return len(chosen)


def _act(place: DeadLetters, numbers: Collection[int], bar: Bar, replays: bool) -> None:
    if replays:
        place.replay(numbers, bar.advance)
    else:
        place.drop(numbers, bar.advance)


@contextmanager
def _places(settings: Settings) -> Iterator[_Places]:
    """The broker's, where there is one, then the outbox's."""
    from exchange.outbox_dead import OutboxDeadLetters
    from exchange.rabbit_dead import RabbitDeadLetters

    if not settings.broker_url:
        with opened(settings) as database:
            yield _Places([OutboxDeadLetters(database)])
        return
    places: list[DeadLetters] = [RabbitDeadLetters(";".join(settings.broker_url))]
    with ExitStack() as stack:
        try:
            places.append(OutboxDeadLetters(stack.enter_context(opened(settings))))
        except (NotMigrated, StoreUnavailable) as error:
            click.echo(f"ringback: the outbox is left out: {error}", err=True)
        yield _Places(places)


def _tell(done: int, name: str, words: str, as_json: bool) -> None:
    if as_json:
        print_json({name: done})
    else:
        click.echo(f"{done} {words}" if done else "there are no dead letters")


def _no_such(number: int, count: int) -> NotFound:
    return NotFound(f"there is no dead letter {number}: there are {count}" if count else "there are no dead letters")


def _shown(number: int, letter: DeadLetter) -> dict[str, object]:
    return {
        "number": number,
        "reason": letter.reason,
        "message_id": letter.message_id,
        "accepted_at": None if letter.accepted_at is None else to_rfc3339(letter.accepted_at),
        "size_bytes": len(letter.body),
    }


def _row(number: int, letter: DeadLetter) -> list[str | None]:
    beginning = letter.body[: 4 * _BEGINNING].decode(errors="replace")[:_BEGINNING]
    return [str(number), _accepted(letter), letter.message_id, str(len(letter.body)), letter.reason, beginning]


def _accepted(letter: DeadLetter) -> str:
    return "directly, by AMQP" if letter.accepted_at is None else to_rfc3339(letter.accepted_at)
