"""The consumer on the real broker: nothing that fails, hangs or is slow stands in others' way."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pika
import pytest
from prometheus_client import REGISTRY

from octoco.clock import SystemClock
from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.errors import Refusal, Unavailable
from octoco.events import Event
from octoco.messaging import consumer as consumer_module
from octoco.messaging.contracts import Contracts
from octoco.messaging.deliveries import Delivery
from octoco.messaging.topology import Topology
from octoco.testing import eventually
from octoco.testing.provisions import ProvisionedSchema
from octoco.testing.wire import Fate, Wire, nothing_happens

from .conftest import EVENT_TYPE
from .consuming import OTHER_TYPE, Broker, Consuming, Units, effects_of, event, store_effect


@pytest.fixture
def broker(amqp_url: str, topology_of: Callable[..., Topology]) -> Broker:
    return Broker(amqp_url, topology_of("probe"))


@pytest.fixture
def consuming(
    database: Database, units: Units, contracts: Contracts, broker: Broker
) -> Callable[..., Consuming]:
    return partial(Consuming, database=database, units=units, contracts=contracts, broker=broker)


@pytest.fixture
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for less long for what will not end by itself."""
    monkeypatch.setattr(consumer_module, "FINISH_SECONDS", 1.0)


def refuse(_unit: PostgresUnit, _event: Event) -> None:
    raise Refusal("never")


def test_a_handler_that_outlasts_many_heartbeats_keeps_its_connection(
    consuming: Callable[..., Consuming], broker: Broker, database: Database
) -> None:
    # The broker hangs up on whoever is silent for two heartbeats, here of a second each.
    beyond, tries = threading.Event(), []

    def outlast(unit: PostgresUnit, one: Event) -> None:
        tries.append(one.id)
        beyond.wait(3.6)
        store_effect(unit, one)

    broker.send(event(1))
    with consuming(handlers={EVENT_TYPE: outlast}, url=f"{broker.url}?heartbeat=1").running() as it:
        eventually(lambda: effects_of(database) == Counter([1]), what="the effect")
        assert it.connections == 1
    assert tries == ["msg_1"]
    assert broker.depth() == 0


def test_what_cannot_be_read_is_counted_without_believing_its_name(
    consuming: Callable[..., Consuming],
) -> None:
    def dead(event_type: str) -> float:
        labels = {"event_type": event_type, "result": "dead"}
        return REGISTRY.get_sample_value("octoco_events_handled_total", labels) or 0.0

    it, before = consuming(), (dead(EVENT_TYPE), dead("unknown"))
    for name in (EVENT_TYPE, "made.up.v1"):
        headers = {"cloudEvents_type": name}
        garbage = Delivery(1, pika.BasicProperties(headers=headers), b"\x00")
        assert it.handling.judge(garbage, threading.Event()).result == "dead"
    assert (dead(EVENT_TYPE), dead("unknown")) == (before[0] + 1, before[1] + 1)
    assert dead("made.up.v1") == 0


class AsDeclared(Topology):
    """A topology whose queues somebody else has declared, in their own way."""

    def declare(self, channel: Any, event_types: Any) -> None:
        """Leave everything as it is."""


@pytest.mark.usefixtures("quick_end")
def test_a_copy_that_the_broker_refuses_leaves_the_original_where_it_is(
    amqp_url: str,
    topology_of: Callable[..., Topology],
    database: Database,
    units: Units,
    contracts: Contracts,
) -> None:
    usual = topology_of("probe")
    broker = Broker(amqp_url, usual)
    room_for_one = {"x-max-length": 1, "x-overflow": "reject-publish"}
    with broker.channel() as channel:
        channel.queue_delete(usual.dead_queue)
        channel.queue_declare(usual.dead_queue, durable=True, arguments=room_for_one)
    broker.topology = AsDeclared("probe", prefix=usual.prefix, tier_seconds=usual.tier_seconds)
    consuming = partial(
        Consuming,
        database=database,
        units=units,
        contracts=contracts,
        broker=broker,
        handlers={EVENT_TYPE: refuse, OTHER_TYPE: store_effect},
    )
    broker.send(event(1), event(2))
    with consuming().running():
        eventually(lambda: broker.moves(usual.dead_queue, "refused") >= 1, what="a refused copy")
        broker.send(event(3, event_type=OTHER_TYPE))
        eventually(lambda: effects_of(database) == Counter([3]), what="another's effect")
    assert (broker.depth(), broker.depth(usual.dead_queue)) == (1, 1)
    broker.take(usual.dead_queue)
    with consuming().running():
        eventually(lambda: broker.depth(usual.dead_queue) == 1, what="the copy that was refused")
    assert broker.depth() == 0


def test_a_copy_that_no_queue_takes_is_published_again_when_its_queue_is_there(
    consuming: Callable[..., Consuming], broker: Broker
) -> None:
    dead = broker.topology.dead_queue
    with consuming(handlers={EVENT_TYPE: refuse}).running() as it:
        eventually(lambda: it.consumer.is_connected, what="a consumer")
        with broker.channel() as channel:
            channel.queue_delete(dead)
        broker.send(event(1))
        eventually(lambda: broker.moves(dead, "confirmed") == 1, what="the copy")
    assert broker.moves(dead, "returned") >= 1
    assert (broker.depth(), broker.depth(dead)) == (0, 1)


@pytest.mark.parametrize(
    ("fate", "copies"), [(Fate.NEVER_ARRIVES, 1), (Fate.ANSWER_IS_LOST, 2)], ids=["copy", "confirm"]
)
def test_a_copy_whose_connection_breaks_is_published_again(
    consuming: Callable[..., Consuming], broker: Broker, fate: Fate, copies: int
) -> None:
    cuts: list[bytes] = []

    def cut_the_first_copy(sent: bytes) -> Fate:
        if b"x-octoco-reason" not in sent or cuts:
            return Fate.ARRIVES
        cuts.append(sent)
        return fate

    dead = broker.topology.dead_queue
    broker.send(event(1))
    with Wire.to(broker.url) as wire:
        wire.watch = cut_the_first_copy
        through = wire.url_through(broker.url)
        with consuming(handlers={EVENT_TYPE: refuse}, url=through).running():
            eventually(lambda: broker.moves(dead, "confirmed") == 1, what="a confirmed copy")
    assert len(cuts) == 1
    assert (broker.depth(), broker.depth(dead)) == (0, copies)


def test_a_sick_dependency_of_one_type_holds_up_no_other(
    consuming: Callable[..., Consuming], broker: Broker, database: Database
) -> None:
    calls: list[str] = []

    def need_what_is_away(_unit: PostgresUnit, one: Event) -> None:
        calls.append(one.id)
        raise Unavailable("the dependency is away")

    broker.send(*(event(n) for n in range(40)))
    broker.send(*(event(n, event_type=OTHER_TYPE) for n in range(100, 110)))
    handlers = {EVENT_TYPE: need_what_is_away, OTHER_TYPE: store_effect}
    with consuming(handlers=handlers).running():
        eventually(lambda: len(effects_of(database)) == 10, what="the others' effects")
        dead = broker.topology.dead_queue
        eventually(lambda: broker.depth(dead) == 40, within_seconds=20, what="the sick ones' end")
    # Three deliveries each; a few were tried again within the process before all were known sick.
    assert 120 <= len(calls) < 160
    headers = broker.take(dead)[0].headers
    assert headers["x-octoco-reason"] == "Unavailable: the dependency is away"
    assert headers["x-octoco-attempt"] == 3


@dataclass
class Outage:
    """A database that can be away, and what runs on it."""

    wire: Wire
    database: Database
    units: Units

    def begin(self) -> None:
        self.wire.watch = lambda _: Fate.NEVER_ARRIVES
        self.wire.cut()

    def end(self) -> None:
        self.wire.watch = nothing_happens


@pytest.fixture
def outage(schema: ProvisionedSchema, contracts: Contracts, database: Database) -> Iterator[Outage]:
    with Wire.to(schema.service_url) as wire:
        through = Database(wire.url_through(schema.service_url), application_name="probe")
        units = PostgresUnitsOfWork(
            through, lambda c: PostgresUnit(c, contracts=contracts, clock=SystemClock())
        )
        yield Outage(wire, through, units)
        through.dispose()


def test_while_the_database_is_away_deliveries_wait_and_use_up_no_try(
    contracts: Contracts, broker: Broker, database: Database, outage: Outage
) -> None:
    consuming = Consuming(
        database=outage.database, units=outage.units, contracts=contracts, broker=broker
    )
    with consuming.running():
        broker.send(event(0))
        eventually(lambda: effects_of(database) == Counter([0]), what="the first effect")
        outage.begin()
        broker.send(*(event(n) for n in range(1, 6)))
        eventually(lambda: consuming.handling.away_seconds() > 1, what="a pause")
        assert effects_of(database) == Counter([0])
        outage.end()
        eventually(lambda: effects_of(database) == Counter(range(6)), what="all effects")
        assert consuming.connections == 1
    assert broker.depth() == 0
    assert broker.moves(broker.topology.retry_queue(0), "confirmed") == 0


def test_a_long_outage_gives_deliveries_back_until_the_database_answers(
    contracts: Contracts,
    broker: Broker,
    database: Database,
    outage: Outage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer_module, "AWAY_SECONDS_MAX", 0.5)
    consuming = Consuming(
        database=outage.database, units=outage.units, contracts=contracts, broker=broker
    )
    outage.begin()
    broker.send(*(event(n) for n in range(5)))
    with consuming.running():
        eventually(lambda: consuming.connections == 1, what="a consumer")
        eventually(
            lambda: not consuming.consumer.is_connected and broker.depth() == 5,
            what="all of them for anybody else",
        )
        outage.end()
        eventually(lambda: effects_of(database) == Counter(range(5)), what="all effects")
    assert broker.depth() == 0
    assert broker.moves(broker.topology.retry_queue(0), "confirmed") == 0
