"""Rounds of floor and Ringback in turn, their medians, and the rows of the table with their
targets.

Called by the benchmarks. The figures of a round are named in words with their unit, as the table
shows them.
"""

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.pipelines import Pipeline

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Target:
    """A bound for a figure or, with `of_ratio`, for its ratio to the floor's in the same run."""

    bound: float
    at_least: bool
    of_ratio: bool = False

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.bound:,g}{' of the floor' if self.of_ratio else ''}"

    def met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True)
class Row:
    """One line of the table: Ringback's median and, if there is one, the floor's."""

    benchmark: str
    what: str
    figure: float
    floor: float | None = None
    target: Target | None = None
    rounds: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return self.figure / self.floor if self.floor else None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        value = self.ratio if self.target.of_ratio else self.figure
        return value is not None and self.target.met(value)


@dataclass(frozen=True)
class Comparison:
    """All rounds of one benchmark, by pipeline."""

    benchmark: str
    rounds: Mapping[str, Sequence[Figures]]

    def rows(self, targets: Mapping[str, Target]) -> list[Row]:
        """Return a row per figure of Ringback."""
        return [self._row(what, targets.get(what)) for what in self.rounds["ringback"][0]]

    def _row(self, what: str, target: Target | None) -> Row:
        values = {
            name: [figures[what] for figures in rounds if what in figures]
            for name, rounds in self.rounds.items()
        }
        floor = values.get("floor")
        return Row(
            self.benchmark,
            what,
            statistics.median(values["ringback"]),
            statistics.median(floor) if floor else None,
            target,
            values,
        )


def compare(
    benchmark: str,
    pipelines: Sequence[Pipeline],
    measure: Callable[[Pipeline], Figures],
    rounds: int,
) -> Comparison:
    """Measure the pipelines in turn, so that a machine that grows slower does so for all."""
    measured: dict[str, list[Figures]] = {pipeline.name: [] for pipeline in pipelines}
    for number in range(1, rounds + 1):
        for pipeline in pipelines:
            figures = measure(pipeline)
            measured[pipeline.name].append(figures)
            text = " · ".join(f"{what} {value:,.1f}" for what, value in figures.items())
            print(
                f"{benchmark}, round {number}, {pipeline.name}: {text}", file=sys.stderr, flush=True
            )
    return Comparison(benchmark, measured)
