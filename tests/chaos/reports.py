"""What a scenario found out: figures, and promises that were not kept. Called by the scenarios,
shown by `__main__` and the tests.
"""

import dataclasses

from tests.chaos.counting import Tally

Figure = float | int | str


@dataclasses.dataclass
class Report:
    """`figures` by name, with their unit in it, in the order they were noted; `broken`: promises,
    in words.
    """

    figures: dict[str, Figure] = dataclasses.field(default_factory=dict)
    broken: list[str] = dataclasses.field(default_factory=list)

    def note(self, **figures: Figure) -> None:
        """Keep figures; `_` in a name stands for a blank."""
        self.figures |= {
            name.replace("_", " "): _rounded(figure) for name, figure in figures.items()
        }

    def demand(self, promise: str, *, held: bool) -> None:
        if not held:
            self.broken.append(promise)

    def count(self, tally: Tally) -> None:
        """Note the tally. Whatever else is promised, nothing that was accepted may be missing."""
        self.note(
            sent=tally.sent,
            accepted=tally.accepted,
            missing=tally.missing,
            duplicates=tally.duplicates,
        )
        if tally.refused or tally.unanswered:
            self.note(refused=tally.refused, unanswered=tally.unanswered)
        self.demand("0 of the accepted events missing", held=tally.missing == 0)

    def line(self) -> str:
        return " · ".join(
            f"{name} {figure:,}" if not isinstance(figure, str) else f"{name} {figure}"
            for name, figure in self.figures.items()
        )


def _rounded(figure: Figure) -> Figure:
    return round(figure, 3 if abs(figure) < 1 else 1) if isinstance(figure, float) else figure
