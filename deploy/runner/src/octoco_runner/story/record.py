"""What the story saw against what it expected."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from rich.markup import escape
from rich.table import Table

from octoco_runner.screen import Screen

T = TypeVar("T")

WAIT_SECONDS = 30.0
PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Observation:
    """One thing looked at."""

    what: str
    expected: str
    saw: str

    @property
    def fits(self) -> bool:
        return self.expected == self.saw


@dataclass
class Record:
    """Every observation in order, shown as it is made."""

    screen: Screen
    observations: list[Observation] = field(default_factory=list)

    def saw(self, what: str, *, expected: object, saw: object) -> bool:
        """Note one observation and show it; says whether it is what was expected."""
        observation = Observation(what, str(expected), str(saw))
        self.observations.append(observation)
        if observation.fits:
            self.screen.done(what, detail=observation.saw)
        else:
            self.screen.warn(f"{what}: saw {observation.saw}, expected {observation.expected}")
        return observation.fits

    def waited_for(self, what: str, look: Callable[[], T], *, expected: T) -> bool:
        """Look until what is expected is seen or time is up; note what was seen last."""
        return self.saw(what, expected=expected, saw=wait_for(look, lambda seen: seen == expected))

    @property
    def fits(self) -> bool:
        return bool(self.observations) and all(seen.fits for seen in self.observations)

    def table(self) -> Table:
        table = Table(title="What the story saw", show_lines=False)
        for heading in ("Step", "Expected", "Saw", ""):
            table.add_column(heading, overflow="fold")
        for seen in self.observations:
            mark = "[green]✓[/green]" if seen.fits else "[red]✗[/red]"
            table.add_row(escape(seen.what), escape(seen.expected), escape(seen.saw), mark)
        return table


def wait_for(
    look: Callable[[], T], fits: Callable[[T], bool], *, within_seconds: float = WAIT_SECONDS
) -> T:
    """The first look that fits, or the last one when time is up."""
    deadline = time.monotonic() + within_seconds
    while True:
        seen = look()
        if fits(seen) or time.monotonic() > deadline:
            return seen
        time.sleep(PAUSE_SECONDS)
