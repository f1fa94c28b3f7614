"""An executor in a process of its own that is killed, or stopped, where a test says."""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from octoco.clock import SystemClock
from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.intents import Done, Intent
from octoco.intents.executor import Executor
from octoco.intents.leases import LeasedIntent, PostgresIntentLeases
from octoco.messaging.contracts import Contracts

T = TypeVar("T")

LEASE_SECONDS = 1.0


class OrderOnce:
    """Gives an order to the outside once; where that is in doubt it asks what became of it.

    Args:
        outside: A file that stands for the other side: each order is a line.
        at: Called with the name of each point that is reached.
    """

    schedule_seconds: Sequence[float] = (0.1,)

    def __init__(self, outside: Path, at: Callable[[str], None] = lambda _: None) -> None:
        self._outside = outside
        self._at = at

    def prepare(self, unit: PostgresUnit, intent: Intent) -> str | None:
        self._at("preparing")
        return "ask" if intent.was_begun else "order"

    def call(self, prepared: str) -> str:
        if prepared == "order":
            with self._outside.open("a") as outside:
                outside.write("order\n")
        self._at("called")
        orders = self._outside.read_text() if self._outside.exists() else ""
        return f"{prepared} {orders.count('order')}"

    def record(self, unit: PostgresUnit, intent: Intent, *, prepared: str, answer: str) -> Done:
        self._at("recording")
        unit.connection.exec_driver_sql("INSERT INTO effects VALUES (%s, 1)", (answer,))
        return Done()


class PointedLeases(PostgresIntentLeases):
    """Leases, with a point after each that was taken."""

    def __init__(self, database: Database, at: Callable[[str], None]) -> None:
        super().__init__(database)
        self._at = at

    def lease_due(
        self, *, places: Mapping[str, int], most: int, lease_seconds: float
    ) -> Sequence[LeasedIntent]:
        leased = super().lease_due(places=places, most=most, lease_seconds=lease_seconds)
        if leased:
            self._at("leased")
        return leased


class PointedUnits(PostgresUnitsOfWork[PostgresUnit]):
    """Units of work, with a point after each commit."""

    points = ("prepared", "recorded")

    def run(self, work: Callable[[PostgresUnit], T], *, contended_on: str | None = None) -> T:
        result = super().run(work, contended_on=contended_on)
        point, *self.points = self.points  # type: ignore[assignment]
        self.at(point)
        return result

    at: Callable[[str], None] = staticmethod(lambda _: None)


def main() -> None:
    given: dict[str, Any] = json.load(sys.stdin)

    def at(point: str) -> None:
        if point == given["at"]:
            os.kill(os.getpid(), signal.Signals[given["signal"]])

    database = Database(given["url"], application_name="probe", pool_size=4)
    contracts = Contracts(Path(given["contracts"]))
    units = PointedUnits(
        database, lambda c: PostgresUnit(c, contracts=contracts, clock=SystemClock())
    )
    units.at = at
    executor: Executor[PostgresUnit] = Executor(
        leases=PointedLeases(database, at),
        units=units,
        handlers={"order": OrderOnce(Path(given["outside"]), at)},
        lease_seconds=LEASE_SECONDS,
    )
    executor.perform_next()
    database.dispose()


if __name__ == "__main__":
    main()
