"""Units of work on a database that goes away and lets races be lost."""

from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

from octoco.database.engine import CommitOutcomeUnknown
from octoco.errors import Unavailable
from octoco.ports import UnitsOfWork
from octoco.testing.saboteurs.chances import Chances
from octoco.testing.saboteurs.crashes import Crash

T = TypeVar("T")
U = TypeVar("U")

BEGUN: Final = "unit begun"
BEFORE_COMMIT: Final = "unit not yet committed"
AFTER_COMMIT: Final = "unit committed"


class UnreliableUnits:
    """Units of work that lose races, break before they begin, and commit without saying so.

    Also the place where a process dies within a unit; the points are `BEGUN`, `BEFORE_COMMIT` and
    `AFTER_COMMIT`.

    Args:
        units: Do the work.
        chances: Decide what goes wrong.
        crash: Of the process they run in; None dies nowhere.
        one_in_lost: Of how many units one is done, rolled back and done again.
        one_in_away: Of how many units one finds no database.
        one_in_unknown: Of how many units one commits and raises that its outcome is not known.
    """

    def __init__(
        self,
        units: UnitsOfWork[U],
        chances: Chances,
        *,
        crash: Crash | None = None,
        one_in_lost: int = 10,
        one_in_away: int = 20,
        one_in_unknown: int = 20,
    ) -> None:
        self._units: UnitsOfWork[Any] = units
        self._chances = chances
        self._crash = crash or Crash()
        self._one_in_lost = one_in_lost
        self._one_in_away = one_in_away
        self._one_in_unknown = one_in_unknown

    def run(self, work: Callable[[Any], T], *, contended_on: str | None = None) -> T:
        if self._chances.happens(self._one_in_away):
            raise Unavailable("The database is not available.")
        if self._chances.happens(self._one_in_lost):
            self._lose(work)
        result = self._units.run(lambda unit: self._do(work, unit), contended_on=contended_on)
        self._crash.reach(AFTER_COMMIT)
        if self._chances.happens(self._one_in_unknown):
            raise CommitOutcomeUnknown("The outcome is not known; please ask again.")
        return result

    def read(self, work: Callable[[Any], T]) -> T:
        return self._units.read(work)

    def _do(self, work: Callable[[Any], T], unit: Any) -> T:
        self._crash.reach(BEGUN)
        result = work(unit)
        self._crash.reach(BEFORE_COMMIT)
        return result

    def _lose(self, work: Callable[[Any], object]) -> None:
        def lose(unit: Any) -> NoReturn:
            work(unit)
            raise _RaceLost

        try:
            self._units.run(lose)
        except _RaceLost:
            return


class _RaceLost(Exception):
    """Another unit was first."""
