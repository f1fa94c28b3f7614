"""Events that kill or hang the process that handles them, in processes that really end by them."""

import json
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from octoco.database import Database
from octoco.inbox.suspects import PostgresSuspectStore
from octoco.messaging.contracts import Contracts
from octoco.messaging.deliveries import Delivery
from octoco.messaging.failures import history_of
from octoco.messaging.topology import Topology
from octoco.messaging.wire import to_properties
from octoco.testing import eventually
from octoco.testing.provisions import ProvisionedSchema

from .conftest import EVENT_TYPE, SCHEMA
from .consuming import Broker, Consuming, Units, effects_of, event

POISON = 13
REASON = "ProcessDied: the process ended while it handled this, by itself"


@dataclass
class Victims:
    """One worker process after the other: as soon as one has ended, the next one is started."""

    settings: dict[str, Any]
    ended_with: list[int] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None

    def are_needed_until(self, condition: Callable[[], object]) -> bool:
        """Keep one running, and say whether the condition is true."""
        if self.process is not None and self.process.poll() is not None:
            self.ended_with.append(self.process.returncode)
            self.process = None
        if self.process is None:
            self.process = self._start()
        return bool(condition())

    def until(self, condition: Callable[[], object], *, what: str) -> None:
        eventually(lambda: self.are_needed_until(condition), within_seconds=60, what=what)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)

    def _start(self) -> subprocess.Popen[str]:
        script = Path(__file__).with_name("worker_process.py")
        process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(self.settings))
        process.stdin.close()
        return process


@pytest.fixture
def broker(amqp_url: str, topology_of: Callable[..., Topology]) -> Broker:
    # Long enough that what comes back finds everything else done, as five seconds are.
    return Broker(amqp_url, topology_of("probe", tier_seconds=(1.5,)))


@pytest.fixture
def victims(
    broker: Broker,
    database: Database,
    schema: ProvisionedSchema,
    tmp_path: Path,
) -> Iterator[Victims]:
    contracts = tmp_path / "contracts"
    contracts.mkdir()
    (contracts / f"{EVENT_TYPE}.json").write_text(SCHEMA)
    made = Victims(
        {
            "on_poison": "die",
            "arrived": str(tmp_path / "arrived"),
            "contracts": str(contracts),
            "database_url": schema.service_url,
            "amqp_url": broker.url,
            "event_type": EVENT_TYPE,
            "prefix": broker.topology.prefix,
            "tier_seconds": list(broker.topology.tier_seconds),
            "handling_seconds_max": 1.0,
        }
    )
    yield made
    made.stop()


def test_what_kills_its_process_goes_aside_and_the_others_get_through(
    victims: Victims, broker: Broker, database: Database
) -> None:
    broker.send(event(POISON), *(event(n) for n in range(10)))
    victims.until(lambda: effects_of(database) == Counter(range(10)), what="the others' effects")
    broker.send(event(20))
    victims.until(lambda: effects_of(database)[20], what="the effect of one that came later")
    dead = broker.topology.dead_queue
    victims.until(lambda: broker.depth(dead) == 1, what="the end of the poison")
    # Once without warning, once by itself, and once more when it came back from its tier.
    assert victims.ended_with == [-signal.SIGKILL] * 3
    (properties,) = broker.take(dead)
    assert properties.message_id == f"msg_{POISON}"
    assert [entry["reason"] for entry in history_of(properties.headers)] == [REASON] * 2
    assert effects_of(database) == Counter([*range(10), 20])
    assert broker.depth() == 0


def test_what_hangs_ends_its_process_when_the_others_have_finished(
    victims: Victims, broker: Broker, database: Database
) -> None:
    victims.settings["on_poison"] = "hang"
    broker.send(event(POISON), *(event(n) for n in range(10)))
    victims.until(lambda: victims.ended_with, what="the end of the process")
    assert victims.ended_with == [1]
    assert effects_of(database) == Counter(range(10))
    victims.stop()
    eventually(lambda: broker.depth() == 1, what="the one that hung is back")


def test_a_parked_event_that_kills_its_process_goes_the_same_way(
    victims: Victims, broker: Broker, database: Database
) -> None:
    victims.settings["on_poison"] = "wait then die"
    broker.send(event(POISON))

    def parked() -> bool:
        rows = database.statement("SELECT attempts FROM parked_events", {})
        return [row.attempts > 0 for row in rows] == [True]

    victims.until(parked, what="a parked event")
    assert victims.ended_with == []
    Path(victims.settings["arrived"]).touch()
    dead = broker.topology.dead_queue
    victims.until(lambda: broker.depth(dead) == 1, what="the end of the poison")
    broker.send(event(1))
    victims.until(lambda: effects_of(database) == Counter([1]), what="the other's effect")
    # Once while it was parked, and once after its tier.
    assert victims.ended_with == [-signal.SIGKILL] * 2
    (properties,) = broker.take(dead)
    assert [entry["reason"] for entry in history_of(properties.headers)] == [REASON] * 2
    assert properties.headers["x-octoco-parked-at"] < properties.headers["x-octoco-failed-at"]
    assert not database.statement("SELECT 1 FROM parked_events", {})


def test_a_mark_is_found_by_whoever_comes_next_and_only_once(database: Database) -> None:
    suspects = PostgresSuspectStore(database)
    assert suspects.begin("msg_1")
    assert not suspects.begin("msg_1"), "whoever began has not ended"
    assert suspects.begin("msg_1")
    suspects.end("msg_1")
    assert suspects.begin("msg_1")


def test_a_suspect_that_is_handled_leaves_no_mark_to_be_blamed_for(
    database: Database, units: Units, contracts: Contracts, broker: Broker
) -> None:
    it = Consuming(database=database, units=units, contracts=contracts, broker=broker)
    properties, body = to_properties(event(1))
    suspect = Delivery(1, properties, body, redelivered=True)
    results = [it.handling.judge(suspect, threading.Event()).result for _ in range(3)]
    assert results == ["handled", "duplicate", "duplicate"]


def test_marks_that_nobody_asks_for_any_more_are_forgotten(database: Database) -> None:
    suspects = PostgresSuspectStore(database)
    database.statement(
        "INSERT INTO suspect_deliveries VALUES ('old', clock_timestamp() - interval '8 days'),"
        " ('young', clock_timestamp() - interval '6 days')",
        {},
    )
    suspects.forget()
    assert suspects.begin("old")
    assert not suspects.begin("young")
