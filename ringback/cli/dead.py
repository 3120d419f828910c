"""`ringback dead …`: messages that were no events. On the broker, and in the outbox: embedded, or
from while no broker answered.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import click

from exchange.dead_letters import DeadLetter, DeadLetters
from ringback.cli.commands import Group
from ringback.cli.database_access import NotMigrated, opened
from ringback.cli.invocation import Invocation
from ringback.cli.output import print_facts, print_json, print_table
from ringback.cli.parameter_types import as_json
from ringback.cli.progress import progress
from ringback.settings import Settings
from schemas.errors import Conflict, NotFound, StoreUnavailable
from schemas.texts import spelled_out
from schemas.times import to_rfc3339

_BEGINNING = 60
"""Characters of a message on a list. More: lines that break."""

_NUMBER = re.compile("[1-9][0-9]{0,8}")
_MARK = re.compile("(?:([1-9][0-9]{0,8})?:)?([0-9a-f]{4,64})")
_SHOWN_MARK = 4
"""Digits of a mark on a list. More: longer to type. Fewer: another letter at that number is more
often taken for the one that was seen.
"""


class Named(NamedTuple):
    """One letter as a person names it: by its number, by the beginning of its mark, or by both,
    which must agree then.
    """

    number: int | None
    mark: str

    def __str__(self) -> str:
        return ":".join(str(part) for part in self if part)


class _Name(click.ParamType[Named]):
    name = "letter"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Named:
        text = str(value)
        if _NUMBER.fullmatch(text):
            return Named(int(text), "")
        if found := _MARK.fullmatch(text):
            return Named(int(found[1]) if found[1] else None, found[2])
        return self.fail(
            f"{text!r} is no letter: name one as `dead list` does, 2:9f3c, or by 2 or 9f3c alone",
            param,
            ctx,
        )


_names = click.argument("names", metavar="[N[:MARK]]...", nargs=-1, type=_Name())


@click.group(cls=Group)
def command() -> None:
    """Look at messages that were no events, put them back, throw them away.

    They are numbered from 1, in the order in which they came here. Beside the number stands a mark
    that belongs to the letter itself: with it (2:9f3c), or with it alone (9f3c), no other letter is
    meant, whatever came or went since. What is put back and still is no event comes back here, as
    the last.
    """


@command.command("list")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="How many at most.",
)
@as_json
@click.pass_obj
def list_(invocation: Invocation, limit: int, as_json: bool) -> None:
    """List them, those that came first, with why each was no event."""
    with _places(invocation.settings) as places:
        found = places.look(limit)
        count = max(places.count(), len(found))
    if as_json:
        print_json([_shown(number, letter) for number, letter in enumerate(found, 1)])
        return
    print_table(
        ["N", "ACCEPTED", "ID", "BYTES", "REASON", "BEGINS"],
        [_row(number, letter) for number, letter in enumerate(found, 1)],
    )
    if count > len(found):
        click.echo(f"the first {len(found)} of {count}: see --limit")


@command.command()
@click.argument("name", metavar="N[:MARK]", type=_Name())
@as_json
@click.pass_obj
def show(invocation: Invocation, name: Named, as_json: bool) -> None:
    """Show one, whole."""
    with _places(invocation.settings) as places:
        number, letter = places.find(name)
    if as_json:
        print_json(_shown(number, letter) | {"body": letter.body.decode(errors="replace")})
        return
    print_facts(
        {
            "number": _name(number, letter),
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
def replay(invocation: Invocation, names: tuple[Named, ...], as_json: bool) -> None:
    """Put them back to where events come from: all, or those named.

    Worth it when what was wrong is mended: an upgrade, a database that refused. A message that
    arrived after all is not sent twice.
    """
    with _places(invocation.settings) as places:
        done = places.act(names, "putting back", replays=True)
    _tell(done, "replayed", "put back", as_json)


@command.command()
@_names
@as_json
@click.pass_obj
def drop(invocation: Invocation, names: tuple[Named, ...], as_json: bool) -> None:
    """Throw them away, for good: all, or those named."""
    with _places(invocation.settings) as places:
        done = places.act(names, "throwing away", replays=False)
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

    def find(self, name: Named) -> tuple[int, DeadLetter]:
        """Its number, and the letter. Raises NotFound, and Conflict when number and mark do not
        agree.
        """
        found = self.look(name.number or self.count())
        (number,) = _numbers([name], found)
        return number, found[number - 1]

    def act(self, names: Collection[Named], doing: str, *, replays: bool) -> int:
        """How many. Without names all that are there now. Raises NotFound and Conflict, before
        anything is done.
        """
        marks = self._marks(names) if names else dict.fromkeys(range(len(self.places)))
        done = 0
        with progress(doing, len(names) or self.count()) as bar:

            def told() -> None:
                nonlocal done
                done += 1
                bar.advance()

            for at, wanted in marks.items():
                place = self.places[at]
                (place.replay if replays else place.drop)(wanted, told)
        if done < sum(len(wanted or ()) for wanted in marks.values()):
            raise NotFound(
                f"{done} done; the rest is there no more, or somebody else looks at it just now: see `ringback dead list`"
            )
        return done

    def _marks(self, names: Collection[Named]) -> dict[int, Collection[str] | None]:
        """By place: from here on the letters that were looked at are meant, wherever they stand by
        then.
        """
        most = max((name.number or self.count() for name in names), default=0)
        found: list[DeadLetter] = []
        home: list[int] = []
        for at, place in enumerate(self.places):
            found += place.look(most - len(found))
            home += [at] * (len(found) - len(home))
        chosen = _numbers(names, found)
        return {
            at: [found[number - 1].mark for number in sorted(chosen) if home[number - 1] == at]
            for at in sorted(set(home))
        }


def _numbers(names: Collection[Named], found: Sequence[DeadLetter]) -> set[int]:
    """Which letters are meant, counted from 1."""
    return {_number(name, found) for name in names}


def _number(name: Named, found: Sequence[DeadLetter]) -> int:
    if name.number is None:
        fitting = [
            number for number, letter in enumerate(found, 1) if letter.mark.startswith(name.mark)
        ]
        if not fitting:
            raise NotFound(f"there is no dead letter {name}: see `ringback dead list`")
        if len({found[number - 1].mark for number in fitting}) > 1:
            raise Conflict(
                f"{len(fitting)} dead letters are {name}: name one with its number, {fitting[0]}:{name.mark}"
            )
        return fitting[0]
    if name.number > len(found):
        raise _no_such(name.number, len(found))
    if not found[name.number - 1].mark.startswith(name.mark):
        raise Conflict(
            f"dead letter {name.number} is not the one that was {name}: letters came or went since. See `ringback dead list`"
        )
    return name.number


@contextmanager
def _places(settings: Settings) -> Iterator[_Places]:
    """The broker's, where there is one, then the outbox's."""
    from exchange.outbox.dead_letters import OutboxDeadLetters
    from exchange.rabbit.dead_letters import RabbitDeadLetters

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
    return NotFound(
        f"there is no dead letter {number}: there are {count}"
        if count
        else "there are no dead letters"
    )


def _shown(number: int, letter: DeadLetter) -> dict[str, object]:
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
        _name(number, letter),
        _accepted(letter),
        letter.message_id,
        str(len(letter.body)),
        letter.reason,
        beginning,
    ]


def _name(number: int, letter: DeadLetter) -> str:
    return f"{number}:{letter.mark[:_SHOWN_MARK]}"


def _accepted(letter: DeadLetter) -> str:
    return "directly, by AMQP" if letter.accepted_at is None else to_rfc3339(letter.accepted_at)
