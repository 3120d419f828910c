"""A bar on standard error for what takes longer, at a terminal only."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)


class Bar:
    """How far something has come."""

    def __init__(self, progress: Progress, task: TaskID):
        self._progress, self._task = progress, task

    def advance(self, steps: int = 1) -> None:
        self._progress.advance(self._task, steps)

    def show(self, completed: int, total: int) -> None:
        """Of so many; 0: nobody knows yet."""
        self._progress.update(self._task, completed=completed, total=total or None)


@contextmanager
def progress(text: str, total: int, *, hidden: bool = False) -> Iterator[Bar]:
    """Gone when the block ends."""
    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=hidden or not console.is_terminal
    ) as shown:
        yield Bar(shown, shown.add_task("", total=total or None))
