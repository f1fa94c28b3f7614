"""A worker process of its own, whose handler kills it or hangs at one event: a test's victim.

Run by file name with its settings as JSON on standard input.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Final
from unittest.mock import patch

from octoco.clock import SystemClock
from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.errors import TooEarly
from octoco.events import Event
from octoco.inbox import parked
from octoco.messaging import consumer
from octoco.messaging.contracts import Contracts
from octoco.messaging.settings import EventSettings
from octoco.messaging.topology import Topology
from octoco.worker import WorkerParts, run_worker

POISON: Final = 13

given = json.load(sys.stdin)
# What others have in hand is done in no time here.
patch.object(consumer, "FINISH_SECONDS", 0.5).start()
patch.object(parked, "LEASE_SECONDS", 2).start()


def hang() -> None:
    threading.Event().wait()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait_then_die() -> None:
    if not Path(given["arrived"]).exists():
        raise TooEarly(waits_for="a file")
    die()


ON_POISON = {"die": die, "hang": hang, "wait then die": wait_then_die}


def handle(unit: PostgresUnit, event: Event) -> None:
    if event.data["n"] == POISON:
        ON_POISON[given["on_poison"]]()
    unit.connection.exec_driver_sql(
        "INSERT INTO effects VALUES (%s, %s)", (event.id, event.data["n"])
    )


contracts = Contracts(Path(given["contracts"]))
database = Database(given["database_url"], application_name="probe")
run_worker(
    WorkerParts(
        service="probe",
        database_url=given["database_url"],
        database=database,
        units=PostgresUnitsOfWork(
            database, lambda c: PostgresUnit(c, contracts=contracts, clock=SystemClock())
        ),
        contracts=contracts,
        amqp_url=given["amqp_url"],
        subscriptions={given["event_type"]: handle},
        topology=Topology(
            "probe", prefix=given["prefix"], tier_seconds=tuple(given["tier_seconds"])
        ),
        events=EventSettings(threads=2, handling_seconds_max=given["handling_seconds_max"]),
    )
)
