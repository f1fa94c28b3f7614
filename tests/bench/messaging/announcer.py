"""A process that commits messages at a steady rate, as a service's units of work do."""

import json
import threading
import time
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Final

from octoco.clock import SystemClock
from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.messaging.contracts import Contracts
from octoco.outbox.bell import Bell

SERVICE: Final = "announcer"
TYPE: Final = "announcer.thing.happened.v1"
# As many as people who are busy at once: some have several messages under way.
AGGREGATES: Final = 1000
_SCHEMA: Final = {"type": "object", "required": ["thing_id"]}


@dataclass(frozen=True, slots=True)
class Happened:
    """The only message; as large as most."""

    TYPE: ClassVar[str] = TYPE

    number: int

    @property
    def aggregate_id(self) -> str:
        return f"dep_{self.number % AGGREGATES:026d}"

    def to_data(self) -> dict[str, object]:
        return {
            "thing_id": self.aggregate_id,
            "number": self.number,
            "amount": "123.45",
            "currency": "ZAR",
            "paid_at": "2026-01-01T00:00:00+00:00",
            "purchase_id": f"{self.number:032x}",
        }


def announce_steadily(pipe: "Connection[Any, Any]", url: str, *, rate: int, seconds: float) -> None:
    """Commit one message a unit of work at the times that the rate says, and ring the bell.

    Args:
        pipe: Gets, at the end, when each message's commit was done, in monotonic seconds.
        url: Of the service's own role.
        rate: Messages a second; one that is late delays none of the times of those after it.
        seconds: How long.
    """
    with TemporaryDirectory() as folder:
        (Path(folder) / f"{TYPE}.json").write_text(json.dumps(_SCHEMA), encoding="utf-8")
        contracts = Contracts(Path(folder))
    database = Database(url, application_name=SERVICE)
    bell = Bell(url=url, service=SERVICE)
    units = PostgresUnitsOfWork(
        database,
        lambda connection: PostgresUnit(connection, contracts=contracts, clock=SystemClock()),
        after_commit=bell.ring,
    )
    units.read(lambda unit: None)
    committed: dict[str, float] = {}
    never = threading.Event()
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        never.wait(max(0.0, began + number / rate - time.monotonic()))
        message_id = units.run(partial(_add, Happened(number)))
        committed[message_id] = time.monotonic()
    pipe.send(committed)
    database.dispose()


def _add(message: Happened, unit: PostgresUnit) -> str:
    return unit.outbox.add(message)
