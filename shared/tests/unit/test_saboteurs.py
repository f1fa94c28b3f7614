"""Saboteurs do what they are for, no more, and the same again for the same seed."""

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest

from octoco.clock import SystemClock
from octoco.database.engine import CommitOutcomeUnknown
from octoco.errors import Unavailable
from octoco.events import Event
from octoco.messaging.connecting import Connect
from octoco.messaging.consumer import Consumer
from octoco.messaging.handling import EventHandling
from octoco.messaging.ports import BrokerUnavailable, Fate, Publisher
from octoco.messaging.topology import Topology
from octoco.ports import MessagingUnit
from octoco.testing import FakeUnit, FakeUnitsOfWork, eventually
from octoco.testing.conformance import PROBE_CONTRACTS, PublisherConformance
from octoco.testing.conformance.probe import Happened, Unheard, event_of, numbers
from octoco.testing.memory_broker import MemoryBroker
from octoco.testing.memory_publisher import MemoryPublisher
from octoco.testing.memory_stores import MemoryDatabase, MemoryParkedStore, MemorySuspectStore
from octoco.testing.saboteurs import (
    AFTER_COMMIT,
    BEFORE_COMMIT,
    Chances,
    Crash,
    Delayer,
    DropBeforeConfirm,
    Duplicator,
    Reorderer,
    SimulatedCrash,
    UnreliableDeliveries,
    UnreliableUnits,
    crashing,
)

from .test_memory_conforms import MemoryBrokerGround

EVENTS = [event_of(Happened(f"thing {n % 4}", n)) for n in range(24)]


@pytest.fixture
def ground() -> MemoryBrokerGround:
    made = MemoryBrokerGround()
    made.bind("queue", Happened.TYPE)
    return made


def ids(events: Sequence[Event]) -> list[str]:
    return [event.id for event in events]


class TestReordererIsFair(PublisherConformance):
    @pytest.fixture
    def ground(self) -> MemoryBrokerGround:
        made = MemoryBrokerGround()
        publisher: Publisher = Reorderer(made.publisher, Chances(1))
        made.publisher = Delayer(publisher, Chances(2), pause=made.pass_time)
        return made


def test_a_fair_reorderer_changes_the_order_among_aggregates_only(
    ground: MemoryBrokerGround,
) -> None:
    assert Reorderer(ground.publisher, Chances(1)).publish(EVENTS) == [Fate.CONFIRMED] * 24
    stored = ground.stored("queue")
    assert ids(stored) != ids(EVENTS)
    assert sorted(ids(stored)) == sorted(ids(EVENTS))
    for thing in range(4):
        assert numbers(stored, f"thing {thing}") == list(range(thing, 24, 4))


def test_an_unfair_reorderer_changes_the_order_within_aggregates_too(
    ground: MemoryBrokerGround,
) -> None:
    Reorderer(ground.publisher, Chances(1), is_fair=False).publish(EVENTS)
    assert numbers(ground.stored("queue"), "thing 0") != list(range(0, 24, 4))


def test_fates_are_those_of_the_events_as_they_were_given(ground: MemoryBrokerGround) -> None:
    events = [event_of((Unheard if n % 3 else Happened)(f"thing {n}", n)) for n in range(12)]
    fates = Reorderer(ground.publisher, Chances(3)).publish(events)
    assert [fate is Fate.CONFIRMED for fate in fates] == [n % 3 == 0 for n in range(12)]


def test_a_duplicator_has_some_events_come_twice_and_none_missing(
    ground: MemoryBrokerGround,
) -> None:
    fates = Duplicator(ground.publisher, Chances(1), one_in=3).publish(EVENTS)
    stored = ids(ground.stored("queue"))
    assert fates == [Fate.CONFIRMED] * 24
    assert set(stored) == set(ids(EVENTS))
    assert 24 < len(stored) < 48


def test_what_is_dropped_before_the_confirm_has_been_sent_up_to_some_event(
    ground: MemoryBrokerGround,
) -> None:
    dropping = DropBeforeConfirm(ground.publisher, Chances(1), one_in=1)
    lengths = set()
    for _ in range(20):
        with pytest.raises(BrokerUnavailable):
            dropping.publish(EVENTS)
        stored = ids(ground.stored("queue"))
        assert stored == ids(EVENTS)[: len(stored)]
        lengths.add(len(stored))
        ground.broker.queues["queue"].ready.clear()
    assert len(lengths) > 5


def test_a_delayer_pauses_before_and_after_and_never_for_longer_than_it_may(
    ground: MemoryBrokerGround,
) -> None:
    pauses: list[float] = []
    delayer = Delayer(ground.publisher, Chances(1), pause=pauses.append, seconds_max=2.0, one_in=1)
    assert delayer.publish(EVENTS[:1]) == [Fate.CONFIRMED]
    assert len(pauses) == 2
    assert all(0 <= pause <= 2 for pause in pauses)


def test_nothing_goes_wrong_while_chances_are_calm(ground: MemoryBrokerGround) -> None:
    chances = Chances(1)
    chances.is_calm = True
    publisher: Publisher = DropBeforeConfirm(ground.publisher, chances, one_in=1)
    publisher = Duplicator(Reorderer(publisher, chances), chances, one_in=1)
    publisher.publish(EVENTS)
    assert ids(ground.stored("queue")) == ids(EVENTS)


def test_a_seed_that_nobody_gave_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    chances = Chances()
    assert str(chances.seed) in capsys.readouterr().out
    again = Chances(chances.seed)
    drawn = [chances.happens(3) for _ in range(50)]
    assert drawn == [again.happens(3) for _ in range(50)]
    assert {True, False} == set(drawn)


def test_a_process_dies_where_it_is_told_to_and_then_does_nothing_more(
    ground: MemoryBrokerGround,
) -> None:
    crash = Crash()
    crash.arm("after publisher.publish", after=1)
    publisher = crashing(ground.publisher, crash, name="publisher")
    assert publisher.publish(EVENTS[:1]) == [Fate.CONFIRMED]
    with pytest.raises(SimulatedCrash, match=r"after publisher\.publish"):
        publisher.publish(EVENTS[1:2])
    with pytest.raises(SimulatedCrash):
        publisher.publish(EVENTS[2:3])
    assert len(ground.stored("queue")) == 2
    crash.revive()
    assert publisher.publish(EVENTS[2:3]) == [Fate.CONFIRMED]


def test_no_handler_of_exceptions_sees_a_crash() -> None:
    assert not issubclass(SimulatedCrash, Exception)


def test_a_real_process_is_killed_without_a_word() -> None:
    code = (
        "from octoco.testing.saboteurs import Crash, kill_process\n"
        "crash = Crash(die=kill_process)\n"
        "crash.arm('here')\n"
        "try:\n    crash.reach('here')\nfinally:\n    print('still here')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"")


def add(unit: MessagingUnit) -> None:
    unit.outbox.add(Happened("one", 1))


def unreliable(crash: Crash | None = None, **one_in: int) -> tuple[FakeUnit, UnreliableUnits]:
    unit = FakeUnit(contracts=PROBE_CONTRACTS)
    rates = {"one_in_lost": 0, "one_in_away": 0, "one_in_unknown": 0, **one_in}
    return unit, UnreliableUnits(FakeUnitsOfWork(unit), Chances(1), crash=crash, **rates)


def test_a_race_that_is_lost_leaves_the_effect_of_one_unit() -> None:
    unit, units = unreliable(one_in_lost=1)
    units.run(add)
    assert len(unit.outbox.waiting) == 1


def test_a_database_that_is_away_has_done_nothing() -> None:
    unit, units = unreliable(one_in_away=1)
    with pytest.raises(Unavailable):
        units.run(add)
    assert not unit.outbox.waiting


def test_a_commit_whose_outcome_is_not_known_has_happened() -> None:
    unit, units = unreliable(one_in_unknown=1)
    with pytest.raises(CommitOutcomeUnknown):
        units.run(add)
    assert len(unit.outbox.waiting) == 1


@pytest.mark.parametrize(("point", "left"), [(BEFORE_COMMIT, 0), (AFTER_COMMIT, 1)])
def test_a_crash_leaves_what_was_committed_before_it(point: str, left: int) -> None:
    crash = Crash()
    crash.arm(point)
    unit, units = unreliable(crash)
    with pytest.raises(SimulatedCrash):
        units.run(add)
    assert len(unit.outbox.waiting) == left


def test_deliveries_that_come_late_twice_and_otherwise_are_handled_once() -> None:
    broker, topology = MemoryBroker(clock=SystemClock()), Topology("probe")
    topology.declare(broker.connect().channel(), [Happened.TYPE])
    unit = FakeUnit(contracts=PROBE_CONTRACTS)
    handled: list[Event] = []

    def handle(_unit: MessagingUnit, event: Event) -> None:
        handled.append(event)

    handling: EventHandling[FakeUnit] = EventHandling(
        subscriptions={Happened.TYPE: handle},
        units=FakeUnitsOfWork(unit),
        database=MemoryDatabase(),
        parked=MemoryParkedStore(),
        suspects=MemorySuspectStore(),
        contracts=PROBE_CONTRACTS,
        topology=topology,
    )
    connect: Connect = UnreliableDeliveries(broker.connect, Chances(5), one_in_twice=3)
    MemoryPublisher(broker, exchange=topology.exchange_name).publish(EVENTS)
    stop = threading.Event()
    consumer = Consumer(connect=connect, topology=topology, handling=handling)
    running = threading.Thread(target=consumer.run, args=(stop,))
    running.start()
    queue = broker.queues[topology.queue]
    eventually(lambda: len(handled) == 24 and not queue.ready and not queue.handed_out, what="all")
    stop.set()
    running.join(20)
    assert sorted(ids(handled)) == sorted(ids(EVENTS))
    assert ids(handled) != ids(EVENTS)
