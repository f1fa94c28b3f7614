"""Figures of every round, the parts that measure them, and what each is to reach."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Samples:
    """Every figure of every round, by name."""

    figures: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, value: float) -> None:
        self.figures[name].append(value)

    def median(self, name: str) -> float:
        return statistics.median(self.figures[name])


@dataclass(frozen=True, slots=True)
class Target:
    """A number to reach.

    Args:
        figure: What is compared.
        bound: What is asked.
        at_least: True where more is better.
    """

    figure: str
    bound: float
    at_least: bool

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is measured; a run has several, and goes through all of them in each round.

    Args:
        name: Of the part; `--only` chooses by it.
        slots: Of one round, by name: each adds its figures and says in a few words what it saw.
        report: The agreed keys of the JSON report, from the samples of all rounds.
        targets: What its figures are to reach.
        rounds_max: More rounds than this it is not measured in, nor are those beside it.
    """

    name: str
    slots: Mapping[str, Callable[[Samples], str]]
    report: Callable[[Samples], Mapping[str, object]]
    targets: Sequence[Target]
    rounds_max: int = 100


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Of values in ascending order."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
