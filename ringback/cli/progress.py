"""A progress bar on standard error, shown at a terminal only."""

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
    """A progress bar that is shown."""

    def __init__(self, progress: Progress, task: TaskID):
        self._progress, self._task = progress, task

    def advance(self, steps: int = 1) -> None:
        """Add steps to what is done."""
        self._progress.advance(self._task, steps)

    def show(self, completed: int, total: int) -> None:
        """Show progress; `total=0` means unknown."""
        self._progress.update(self._task, completed=completed, total=total or None)


@contextmanager
def progress(text: str, total: int, *, hidden: bool = False) -> Iterator[Bar]:
    """Show a bar until the block ends; `total=0` means unknown."""
    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=hidden or not console.is_terminal
    ) as shown:
        yield Bar(shown, shown.add_task("", total=total or None))
