"""Parked events: taken up in fair turns by one worker each, and none stays that will never do."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pika
import pytest
from prometheus_client import REGISTRY

from octoco.database import Database, PostgresUnit
from octoco.errors import DatabaseGone, Refusal, TooEarly, Unavailable
from octoco.events import Event
from octoco.inbox.parked import PostgresParkedStore
from octoco.messaging.contracts import Contracts
from octoco.messaging.deliveries import Delivery
from octoco.messaging.settings import EventSettings
from octoco.messaging.topology import Topology
from octoco.messaging.wire import to_properties
from octoco.testing import eventually

from .conftest import EVENT_TYPE
from .consuming import Broker, Consuming, Units, effects_of, event, store_effect

STOP = threading.Event()


@pytest.fixture
def broker(amqp_url: str, topology_of: Callable[..., Topology]) -> Broker:
    return Broker(amqp_url, topology_of("probe"))


@pytest.fixture
def consuming(
    database: Database, units: Units, contracts: Contracts, broker: Broker
) -> Callable[..., Consuming]:
    return partial(Consuming, database=database, units=units, contracts=contracts, broker=broker)


class Fickle:
    """A handler that finds everything too early until it is told what else to do."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.instead: Callable[[PostgresUnit, Event], None] | None = None

    def __call__(self, unit: PostgresUnit, one: Event) -> None:
        self.order.append(one.data["n"])
        if self.instead is None:
            raise TooEarly(waits_for="the other")
        self.instead(unit, one)


class Moved:
    """Stands in for the broker: remembers what was moved, or refuses to take it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.copies: list[tuple[str, pika.BasicProperties]] = []

    def __call__(self, queue: str, properties: pika.BasicProperties, body: bytes) -> None:
        assert body
        if self.error is not None:
            raise self.error
        self.copies.append((queue, properties))


def nowhere(queue: str, properties: pika.BasicProperties, body: bytes) -> None:
    raise AssertionError(f"{properties.message_id} of {len(body)} bytes moved to {queue}")


def park(it: Consuming, *events: Event, headers: dict[str, Any] | None = None) -> None:
    for one in events:
        properties, body = to_properties(one)
        properties.headers = dict(properties.headers or {}) | (headers or {})
        assert it.handling.judge(Delivery(1, properties, body), STOP).result == "parked"


def parked(database: Database) -> dict[str, Any]:
    rows = database.statement("SELECT * FROM parked_events ORDER BY due_at", {})
    return {row.event_id: row for row in rows}


def let_all_be_due(database: Database) -> None:
    database.statement("UPDATE parked_events SET due_at = due_at - interval '1 hour'", {})


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def refuse(_unit: PostgresUnit, _one: Event) -> None:
    raise Refusal("it will never be")


def break_down(_unit: PostgresUnit, _one: Event) -> None:
    raise ZeroDivisionError("a bug")


def test_a_parked_event_that_is_refused_is_dead_with_its_reason_and_its_headers(
    consuming: Callable[..., Consuming], broker: Broker, database: Database
) -> None:
    handler = Fickle()
    it = consuming(handlers={EVENT_TYPE: handler})
    park(it, event(1), headers={"tenant": "blue", "x-octoco-replayed": 1, "raw": b"\xff"})
    handler.instead = refuse
    with it.running():
        eventually(lambda: it.handling.take_up_parked(it.consumer.move), what="its end")
    (properties,) = broker.take(broker.topology.dead_queue)
    headers = properties.headers
    assert headers["x-octoco-reason"] == "refused: it will never be"
    assert (headers["tenant"], headers["x-octoco-replayed"]) == ("blue", 1)
    assert headers["cloudEvents_correlationid"] == properties.correlation_id == "cor_1"
    assert parked(database) == {}


def test_a_parked_event_that_fails_goes_through_the_tiers_and_has_its_effect_once(
    consuming: Callable[..., Consuming], database: Database
) -> None:
    handler = Fickle()
    it = consuming(handlers={EVENT_TYPE: handler})
    park(it, event(1))
    handler.instead = break_down
    with it.running():
        assert it.handling.take_up_parked(it.consumer.move) == 1
        assert parked(database) == {}
        handler.instead = store_effect
        eventually(lambda: effects_of(database) == Counter([1]), what="the effect")


@pytest.mark.parametrize("error", [Unavailable("no confirm"), ZeroDivisionError()])
def test_a_parked_event_whose_copy_is_not_confirmed_stays_parked(
    consuming: Callable[..., Consuming], database: Database, error: Exception
) -> None:
    handler = Fickle()
    it = consuming(handlers={EVENT_TYPE: handler})
    park(it, event(1))
    handler.instead = refuse
    if isinstance(error, Unavailable):
        assert it.handling.take_up_parked(Moved(error)) == 0
    else:
        with pytest.raises(ZeroDivisionError):
            it.handling.take_up_parked(Moved(error))
    assert list(parked(database)) == ["msg_1"]


def test_one_that_comes_back_from_a_tier_and_is_parked_again_has_been_so_all_along(
    consuming: Callable[..., Consuming], database: Database
) -> None:
    handler = Fickle()
    it = consuming(handlers={EVENT_TYPE: handler})
    park(it, event(1))
    since = parked(database)["msg_1"].parked_at
    handler.instead, moved = break_down, Moved()
    it.handling.take_up_parked(moved)
    ((queue, properties),) = moved.copies
    assert queue == it.handling._topology.retry_queue(0)
    handler.instead = None
    body = to_properties(event(1))[1]
    assert it.handling.judge(Delivery(2, properties, body), STOP).result == "parked"
    again = parked(database)["msg_1"]
    assert again.parked_at == since
    assert again.headers["x-octoco-attempt"] == 1


def test_many_that_are_early_again_and_again_keep_nobody_waiting_who_is_due(
    consuming: Callable[..., Consuming], database: Database
) -> None:
    handler = Fickle()
    it = consuming(handlers={EVENT_TYPE: handler})
    park(it, *(event(n) for n in range(60)))
    it.handling.take_up_parked(nowhere)
    park(it, event(200))
    let_all_be_due(database)
    # Behind those that have been due for longer, and before any of them is tried a second time.
    handler.order.clear()
    it.handling.take_up_parked(nowhere)
    assert sorted(handler.order[:61]) == [*range(60), 200]


def test_the_one_that_is_due_the_longest_is_claimed_first_and_nobody_else_gets_it(
    database: Database, consuming: Callable[..., Consuming]
) -> None:
    park(consuming(handlers={EVENT_TYPE: Fickle()}), event(1), event(2), event(3))
    for number, seconds in ((1, 10), (2, 30), (3, -60)):
        database.statement(
            "UPDATE parked_events SET due_at = clock_timestamp() - make_interval(secs => :s)"
            " WHERE event_id = :id",
            {"s": seconds, "id": f"msg_{number}"},
        )
    store = PostgresParkedStore(database)
    claimed = [store.claim() for _ in range(3)]
    assert [one.event.id if one else None for one in claimed] == ["msg_2", "msg_1", None]
    store.postpone("msg_2")
    assert store.claim() is None, "postponed is due later"
    let_all_be_due(database)
    let_all_be_due(database)
    after = [store.claim() for _ in range(3)]
    assert {(one.event.id, one.died) for one in after if one} == {
        ("msg_1", True),
        ("msg_2", False),
        ("msg_3", False),
    }


def test_two_workers_take_up_at_once_and_no_event_is_tried_by_both(
    consuming: Callable[..., Consuming], database: Database
) -> None:
    handler = Fickle()
    its = [consuming(handlers={EVENT_TYPE: handler}) for _ in range(3)]
    park(its[0], *(event(n) for n in range(90)))
    handler.order.clear()
    handler.instead = store_effect
    together = threading.Barrier(len(its))
    gone: list[int] = []

    def take_up(it: Consuming) -> None:
        together.wait()
        gone.append(it.handling.take_up_parked(nowhere))

    workers = [threading.Thread(target=take_up, args=(it,)) for it in its]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert sum(gone) == 90
    assert sorted(handler.order) == list(range(90))
    assert effects_of(database) == Counter(range(90))
    assert parked(database) == {}


def test_waiting_grows_to_half_a_minute_and_after_hours_to_five_minutes(
    consuming: Callable[..., Consuming], database: Database
) -> None:
    store = PostgresParkedStore(database)
    park(consuming(handlers={EVENT_TYPE: Fickle()}), event(1))

    def next_wait(*, attempts: int, parked_for: timedelta) -> float:
        database.statement(
            "UPDATE parked_events SET attempts = :attempts, parked_at = :since",
            {"attempts": attempts, "since": datetime.now(UTC) - parked_for},
        )
        store.postpone("msg_1")
        rows = database.statement(
            "SELECT extract(epoch FROM due_at - clock_timestamp()) AS s FROM parked_events", {}
        )
        return round(float(rows[0].s))

    now, hours = timedelta(0), timedelta(hours=3)
    assert [next_wait(attempts=n, parked_for=now) for n in (0, 1, 3, 5, 40)] == [1, 2, 8, 30, 30]
    assert [next_wait(attempts=n, parked_for=hours) for n in (0, 40)] == [1, 300]


def test_what_is_parked_for_too_long_rings(
    consuming: Callable[..., Consuming], database: Database
) -> None:
    it = consuming(handlers={EVENT_TYPE: Fickle()}, settings=EventSettings(parked_seconds_max=3600))
    park(it, event(1), event(2))
    it.handling.take_up_parked(nowhere)
    assert sample("octoco_parked_events") == 2
    assert sample("octoco_parked_overdue") == 0
    assert sample("octoco_parked_oldest_age_seconds") < 60
    database.statement(
        "UPDATE parked_events SET parked_at = parked_at - interval '2 hours'"
        " WHERE event_id = 'msg_2'",
        {},
    )
    it.handling.take_up_parked(nowhere)
    assert sample("octoco_parked_overdue") == 1
    assert 7200 <= sample("octoco_parked_oldest_age_seconds") < 7260


def test_a_parked_event_that_was_handled_meanwhile_is_a_duplicate_and_counted(
    consuming: Callable[..., Consuming], database: Database, units: Units
) -> None:
    handler = Fickle()
    it = consuming(handlers={EVENT_TYPE: handler})
    park(it, event(1))
    units.run(lambda unit: unit.inbox.record("msg_1"))
    before = sample("octoco_inbox_duplicates_total", event_type=EVENT_TYPE)
    assert it.handling.take_up_parked(nowhere) == 1
    assert sample("octoco_inbox_duplicates_total", event_type=EVENT_TYPE) == before + 1
    assert effects_of(database) == Counter()
    assert parked(database) == {}


def test_a_claim_whose_answer_was_lost_is_given_back_and_nobody_is_taken_for_dead(
    consuming: Callable[..., Consuming], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    park(consuming(handlers={EVENT_TYPE: Fickle()}), event(1), event(2))
    let_all_be_due(database)
    store = PostgresParkedStore(database)
    ask = database.statement

    def lose_the_answer(*args: Any, is_repeatable: bool = True) -> Any:
        assert not is_repeatable, "made twice, it claims two and knows of one"
        ask(*args)
        raise DatabaseGone("just now")

    with monkeypatch.context() as patch:
        patch.setattr(database, "statement", lose_the_answer)
        with pytest.raises(DatabaseGone):
            store.claim()
    claimed = [store.claim() for _ in range(3)]
    assert sorted((one.event.id, one.died) for one in claimed if one) == [
        ("msg_1", False),
        ("msg_2", False),
    ]


class GoneOnce(PostgresParkedStore):
    """Loses its database when an event is to be given back, once."""

    is_gone = True

    def postpone(self, event_id: str) -> None:
        if self.is_gone:
            self.is_gone = False
            raise DatabaseGone("just now")
        super().postpone(event_id)


def test_who_could_not_give_an_event_back_is_not_taken_for_dead(
    consuming: Callable[..., Consuming], database: Database
) -> None:
    handler = Fickle()
    it = consuming(handlers={EVENT_TYPE: handler})
    park(it, event(1))
    it.handling.parked._store = GoneOnce(database)
    with pytest.raises(Unavailable):
        it.handling.take_up_parked(nowhere)
    let_all_be_due(database)
    handler.instead = store_effect
    it.handling.take_up_parked(nowhere)
    let_all_be_due(database)
    eventually(lambda: it.handling.take_up_parked(nowhere), what="its effect")
    assert effects_of(database) == Counter([1])
