"""All stores of dead letters as one numbered list: the broker's queue, then the outbox.

The outbox holds the dead letters of embedded mode, and those from while no broker was available.
Called by `ringback.cli.dead`.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import click

from exchange.dead_letters import DeadLetter, DeadLetters
from ringback.cli.database_access import NotMigrated, opened
from ringback.cli.dead_names import LetterName, named_numbers
from ringback.cli.progress import progress
from ringback.settings import Settings
from schemas.errors import NotFound, StoreUnavailable


@dataclass(frozen=True)
class DeadLetterStores:
    """Dead letters of several stores, numbered from 1 across all of them."""

    stores: Sequence[DeadLetters]
    """In the order of their numbers."""

    def count(self) -> int:
        """Return how many dead letters there are."""
        return sum(store.count() for store in self.stores)

    def first(self, limit: int) -> list[DeadLetter]:
        """Return the first letters, at most `limit`. They stay where they are."""
        letters: list[DeadLetter] = []
        for store in self.stores:
            letters += store.peek(limit - len(letters))
        return letters

    def find(self, name: LetterName) -> tuple[int, DeadLetter]:
        """Return the number and the letter. Raises NotFound, and Conflict when number and mark do
        not agree.
        """
        letters = self.first(name.number or self.count())
        (number,) = named_numbers([name], letters)
        return number, letters[number - 1]

    def replay(self, names: Collection[LetterName]) -> int:
        """Put the named letters back, or all, and return how many. Raises NotFound and Conflict
        before anything is done.
        """
        return self._act(names, "replaying", replays=True)

    def drop(self, names: Collection[LetterName]) -> int:
        """Delete the named letters, or all, and return how many. Raises NotFound and Conflict
        before anything is done.
        """
        return self._act(names, "deleting", replays=False)

    def _act(self, names: Collection[LetterName], label: str, *, replays: bool) -> int:
        marks = self._marks(names) if names else dict.fromkeys(range(len(self.stores)))
        done = 0
        with progress(label, len(names) or self.count()) as bar:

            def on_progress() -> None:
                nonlocal done
                done += 1
                bar.advance()

            for index, wanted in marks.items():
                store = self.stores[index]
                (store.replay if replays else store.drop)(wanted, on_progress)
        if done < sum(len(wanted or ()) for wanted in marks.values()):
            raise NotFound(
                f"{done} done; the rest is gone, or another process reads it now: see "
                "`ringback dead list`"
            )
        return done

    def _marks(self, names: Collection[LetterName]) -> dict[int, Collection[str] | None]:
        """Return the marks of the named letters by the index of their store. A mark still means the
        same letter when numbers have changed.
        """
        limit = max((name.number or self.count() for name in names), default=0)
        letters: list[DeadLetter] = []
        store_of: list[int] = []
        for index, store in enumerate(self.stores):
            letters += store.peek(limit - len(letters))
            store_of += [index] * (len(letters) - len(store_of))
        selected = sorted(named_numbers(names, letters))
        return {
            index: [letters[n - 1].mark for n in selected if store_of[n - 1] == index]
            for index in sorted(set(store_of))
        }


@contextmanager
def dead_letter_stores(settings: Settings) -> Iterator[DeadLetterStores]:
    """Open the broker's dead letters, where there is a broker, and those of the outbox."""
    from exchange.outbox.dead_letters import OutboxDeadLetters
    from exchange.rabbit.dead_letters import RabbitDeadLetters

    if not settings.broker_url:
        with opened(settings) as database:
            yield DeadLetterStores([OutboxDeadLetters(database)])
        return
    stores: list[DeadLetters] = [RabbitDeadLetters(";".join(settings.broker_url))]
    with ExitStack() as stack:
        try:
            stores.append(OutboxDeadLetters(stack.enter_context(opened(settings))))
        except (NotMigrated, StoreUnavailable) as error:
            click.echo(f"ringback: the outbox is left out: {error}", err=True)
        yield DeadLetterStores(stores)
