"""Bodies are checked where they are stored and where they are read, alone and together."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.events import Event
from octoco.inbox.parked import PostgresParkedStore
from octoco.inbox.suspects import PostgresSuspectStore
from octoco.messaging.contracts import Contracts, ContractViolation
from octoco.messaging.deliveries import Delivery, Verdict
from octoco.messaging.handling import EventHandling
from octoco.messaging.topology import Topology
from octoco.messaging.wire import to_properties

from .conftest import EVENT_TYPE, Happened

Units = PostgresUnitsOfWork[PostgresUnit]


@dataclass(frozen=True)
class Misspelt(Happened):
    """A message whose writer has a field that the schema does not know."""

    def to_data(self) -> dict[str, object]:
        return {"n": self.n, "thnig": self.thing}


@dataclass(frozen=True)
class Incomplete(Happened):
    """A message that lacks what its schema requires."""

    def to_data(self) -> dict[str, object]:
        return {"thing": self.thing}


STORING: dict[str, Callable[[PostgresUnit, Happened], object]] = {
    "one": lambda unit, message: unit.outbox.add(message),
    "many": lambda unit, message: unit.outbox.add_all([Happened("good", 1), message]),
    "for a function of the database": lambda unit, message: unit.outbox.prepare(message),
}


@pytest.mark.parametrize("way", STORING)
@pytest.mark.parametrize(
    ("message", "rule"),
    [(Misspelt("x", 1), "additionalProperties"), (Incomplete("x", 1), "required")],
)
def test_a_message_that_does_not_fit_is_not_stored_and_takes_its_unit_with_it(
    units: Units, database: Database, way: str, message: Happened, rule: str
) -> None:
    def work(unit: PostgresUnit) -> None:
        unit.outbox.add(Happened("stored before", 0))
        STORING[way](unit, message)

    with pytest.raises(ContractViolation, match=rule):
        units.run(work)
    assert database.read(lambda c: c.exec_driver_sql("SELECT 1 FROM outbox").all()) == []


@pytest.fixture
def seen() -> list[Any]:
    return []


@pytest.fixture
def handling(
    database: Database,
    units: Units,
    contracts: Contracts,
    topology_of: Callable[..., Topology],
    seen: list[Any],
) -> EventHandling[PostgresUnit]:
    def one(unit: PostgresUnit, event: Event) -> None:
        seen.append(event.data)

    def many(unit: PostgresUnit, events: Sequence[Event]) -> None:
        seen.extend(event.data for event in events)

    return EventHandling(
        subscriptions={EVENT_TYPE: one},
        batch_subscriptions={EVENT_TYPE: many},
        units=units,
        database=database,
        parked=PostgresParkedStore(database),
        suspects=PostgresSuspectStore(database),
        contracts=contracts,
        topology=topology_of("probe"),
    )


def delivery(number: int, data: dict[str, Any], *, event_type: str = EVENT_TYPE) -> Delivery:
    event = Event(
        id=f"msg_{number}",
        type=event_type,
        source="probe",
        aggregate_id=f"thing {number}",
        occurred_at=datetime.now(UTC),
        data=data,
        correlation_id="cor",
    )
    return Delivery(number, *to_properties(event))


GOOD: dict[str, Any] = {"n": 1}
NEWER: dict[str, Any] = {"n": 2, "newer": {"deep": [{"er": 1}]}}
BAD: dict[str, Any] = {"n": "three"}


def test_newer_fields_reach_the_handler_and_what_does_not_fit_is_dead_at_once(
    handling: EventHandling[PostgresUnit], seen: list[Any]
) -> None:
    stop = threading.Event()
    bodies = (GOOD, NEWER, BAD)
    verdicts = [handling.judge(delivery(n, body), stop) for n, body in enumerate(bodies)]
    assert seen == [GOOD, NEWER]
    assert_judged(verdicts)


def test_among_events_handled_together_only_what_does_not_fit_is_dead(
    handling: EventHandling[PostgresUnit], seen: list[Any]
) -> None:
    deliveries = [delivery(n, body) for n, body in enumerate((GOOD, NEWER, BAD))]
    judged = handling.judge_all(deliveries, threading.Event(), lambda: deliveries)
    verdicts = [verdict for together in judged for _, verdict in together]
    assert seen == [GOOD, NEWER]
    assert_judged(verdicts)


def test_a_type_that_is_unknown_here_waits_for_a_worker_that_may_know_it(
    handling: EventHandling[PostgresUnit], seen: list[Any]
) -> None:
    verdict = handling.judge(delivery(1, GOOD, event_type="probe.thing.new.v1"), threading.Event())
    assert verdict.result == "retried"
    assert str(verdict.move_to).endswith("probe.events.retry.1")
    assert seen == []


def assert_judged(verdicts: Sequence[Verdict]) -> None:
    assert [verdict.result for verdict in verdicts] == ["handled", "handled", "dead"]
    dead = replace(verdicts[-1], move_to=None)
    # The value stays out of what tools show and logs keep.
    assert dead == Verdict("dead", reason=f"{EVENT_TYPE}: n breaks the rule 'type'")
