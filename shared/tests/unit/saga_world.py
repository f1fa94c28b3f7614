"""Two services and all that is between them, in memory: a shop asks for payments that a bank makes.

Relay, event handling, parked events and executor are those that production runs, on stores and a
broker in memory. Each service has two processes, which die. What is around them goes wrong by the
chances of a seed, and in the end everything must have come about once.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pika.exceptions
import structlog

from octoco.errors import Unavailable
from octoco.intents.executor import Executor
from octoco.messaging.handling import EventHandling, Handler
from octoco.messaging.ports import BrokerUnavailable, Publisher
from octoco.messaging.topology import Topology
from octoco.outbox.ports import OutboxUnavailable
from octoco.outbox.relay import Relay
from octoco.testing import FakeUnitsOfWork
from octoco.testing.memory_broker import MemoryBroker
from octoco.testing.memory_publisher import MemoryPublisher
from octoco.testing.memory_stores import (
    MemoryDatabase,
    MemoryIntentLeases,
    MemoryOutboxStore,
    MemoryParkedStore,
    MemorySuspectStore,
)
from octoco.testing.saboteurs import (
    Chances,
    Crash,
    Delayer,
    DropBeforeConfirm,
    Duplicator,
    Reorderer,
    UnreliableDeliveries,
    UnreliableUnits,
    crashing,
)
from octoco.testing.stepping import Actor, NeverWaits, Scheduler, SteppedConsumer, VirtualClock

from .saga_services import (
    BANK_HANDLERS,
    BATCH_HANDLERS,
    CONTRACTS,
    SHOP_HANDLERS,
    Acquirer,
    Charging,
    CustomerJoined,
    OrderClosed,
    PaymentAsked,
    PaymentMade,
    PaymentSettled,
    Unit,
)

EXCHANGE: Final = "saga.events"
# Longer than any wait: the last retry tier takes half an hour.
QUIET_SECONDS: Final = 2400.0


@dataclass(frozen=True)
class Parts:
    """What a process is made of; a test of the test puts a broken one in its place."""

    relay: Callable[[Any, Publisher], Relay] = Relay
    outbox_store: Callable[[Any], MemoryOutboxStore] = MemoryOutboxStore
    publisher: Callable[..., Publisher] = MemoryPublisher
    handling: type[EventHandling[Unit]] = EventHandling
    consumer: type[SteppedConsumer[Unit]] = SteppedConsumer
    leases: type[MemoryIntentLeases] = MemoryIntentLeases


@dataclass
class Service:
    """A service's database, in memory, and what it does."""

    name: str
    clock: VirtualClock
    handlers: dict[str, Handler[Unit]]
    intents: dict[str, Charging] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.unit = Unit(clock=self.clock, source=self.name)
        self.units = FakeUnitsOfWork(self.unit)
        self.database = MemoryDatabase()
        self.parked = MemoryParkedStore(clock=self.clock)
        self.suspects = MemorySuspectStore()
        self.topology = Topology(self.name, exchange=EXCHANGE)


class Process:
    """One worker process of a service, which begins again after it has died."""

    def __init__(self, world: "World", service: Service, parts: Parts) -> None:
        self._world = world
        self._service = service
        self._parts = parts
        self._crash = Crash(
            world.chances, one_in={"unit": 40, "judge": 40, "publisher": 15, "outbox": 30}
        )
        self._store: MemoryOutboxStore | None = None
        self._consumer: SteppedConsumer[Unit] | None = None
        self.begin()

    def begin(self) -> None:
        """Begin as a new process: nothing is left of the old one but what is in the database."""
        if self._store is not None:
            self._store.close()
        if self._consumer is not None:
            self._consumer.close()
        world, service, parts, crash = self._world, self._service, self._parts, self._crash
        crash.revive()
        self._consumer = None
        self._store = parts.outbox_store(service.unit.outbox)
        units = UnreliableUnits(
            service.units, world.chances, crash=crash, one_in_away=40, one_in_unknown=40
        )
        self._outbox = crashing(self._store, crash, name="outbox")
        self._relay = parts.relay(self._outbox, self._publisher())
        handling = parts.handling(
            subscriptions=service.handlers,
            batch_subscriptions={
                event_type: handler
                for event_type, handler in BATCH_HANDLERS.items()
                if event_type in service.handlers
            },
            units=units,
            database=service.database,
            parked=crashing(service.parked, crash, name="parked"),
            suspects=crashing(service.suspects, crash, name="suspects"),
            contracts=CONTRACTS,
            topology=service.topology,
        )
        self._handling: EventHandling[Unit] = crashing(handling, crash, name="judge")
        self._executor: Executor[Unit] = Executor(
            leases=parts.leases(service.unit.intents, clock=service.clock),
            units=units,
            handlers=service.intents,
        )

    def cut_off(self) -> None:
        """Cut the relay's connection to the database."""
        if self._store is not None:
            self._store.cut()

    def relay(self) -> bool:
        try:
            return bool(self._outbox.lead() and self._relay.relay_once())
        except OutboxUnavailable:
            self._outbox.close()
        except BrokerUnavailable:
            return False
        return True

    def consume(self) -> bool:
        if self._consumer is None:
            if not self._world.broker.is_up:
                return False
            connect = UnreliableDeliveries(
                self._world.broker.connect, self._world.chances, is_fair=self._world.is_fair
            )
            self._consumer = self._parts.consumer(
                connect=connect,
                topology=self._service.topology,
                handling=self._handling,
                stop=NeverWaits(self._service.clock),
            )
        try:
            return self._consumer.step()
        except pika.exceptions.AMQPError:
            self._consumer = None
            return True

    def perform(self) -> bool:
        return self._executor.perform_next()

    def take_up_parked(self) -> bool:
        if self._consumer is None:
            return False
        return bool(self._handling.take_up_parked(self._consumer.move))

    def _publisher(self) -> Publisher:
        world, chances = self._world, self._world.chances
        publisher = self._parts.publisher(world.broker, exchange=EXCHANGE)
        delayed = Delayer(publisher, chances, pause=world.let_others_go_on, one_in=10)
        dropping = DropBeforeConfirm(delayed, chances, one_in=8)
        reordering = Reorderer(dropping, chances, is_fair=world.is_fair)
        duplicating = Duplicator(reordering, chances, one_in=8)
        return crashing(duplicating, self._crash, name="publisher")


class World:
    """Everything there is.

    Args:
        seed: Decides what happens.
        orders: How many payments are asked for.
        parts: Of the processes.
        is_fair: Nothing overtakes its own aggregate on its way; handlers have to do without that.
    """

    def __init__(
        self, *, seed: int, orders: int, parts: Parts | None = None, is_fair: bool = True
    ) -> None:
        self.is_fair = is_fair
        self.chances = Chances(seed)
        self.clock = VirtualClock()
        self.broker = WatchedBroker(self.clock)
        self.acquirer = Acquirer(self.chances)
        self.acquirer.meanwhile = lambda: self.let_others_go_on(90.0)
        self.scheduler = Scheduler(self.chances, self.clock, lost=(pika.exceptions.AMQPError,))
        self.shop = Service("shop", self.clock, SHOP_HANDLERS)
        self.bank = Service("bank", self.clock, BANK_HANDLERS, {"charge": Charging(self.acquirer)})
        self.orders = [f"customer {n % 3}/order {n}" for n in range(orders)]
        self._to_ask = list(self.orders)
        self._nested = 0
        self._bind_again()
        self._processes = [
            Process(self, service, parts or Parts())
            for service in (self.shop, self.bank)
            for _ in range(2)
        ]
        self.scheduler.actors = list(self._actors())

    def run(self, *, steps: int) -> None:
        """Let it all happen, then let nothing more go wrong until all is quiet, and look."""
        with self.clock.instead_of_monotonic(), self.chances.everywhere(), silent():
            for process in self._processes:
                # What measures time takes the clock that it finds when it begins.
                process.begin()
            self.scheduler.run(steps)
            self.chances.is_calm = True
            self.broker.start()
            self._bind_again()
            self.scheduler.run_until_quiet(steps_max=3000, quiet_seconds=QUIET_SECONDS)
        self.check()

    def let_others_go_on(self, seconds: float) -> None:
        """Stand still for a while in the middle of something, as others take their steps."""
        self.clock.pass_seconds(seconds)
        if self._nested < 2:
            self._nested += 1
            for actor in self.chances.random.sample(self.scheduler.actors, 4):
                if not actor.name.startswith("customer"):
                    self.scheduler.take_step(actor)
            self._nested -= 1

    def check(self) -> None:
        """Look whether everything has come about once.

        Raises:
            AssertionError: something has not, or twice, or something is left over.
        """
        customers = {order.split("/")[0] for order in self.orders}
        at_bank = [f"{CustomerJoined.TYPE} {name} 1" for name in customers]
        at_shop = []
        for order in self.orders:
            at_bank += [f"{PaymentAsked.TYPE} {order} 1", f"charged {order}"]
            at_bank.append(f"{OrderClosed.TYPE} {order} 2")
            at_shop += [f"{PaymentMade.TYPE} {order} 1", f"{PaymentSettled.TYPE} {order} 2"]
        assert self.bank.unit.effects.rows == Counter(at_bank), "the bank's effects"
        assert self.shop.unit.effects.rows == Counter(at_shop), "the shop's effects"
        assert self.acquirer.charged == set(self.orders)
        for service in (self.shop, self.bank):
            assert not service.unit.outbox.waiting, f"the outbox of {service.name}"
            assert not service.parked.rows, f"parked at {service.name}"
            assert all(row.finished_at for row in service.unit.intents.rows.values())
            for queue in service.topology.queues:
                assert self.broker.depth(queue.name) == 0, queue.name
                assert self.broker.queues[queue.name].handed_out == 0, queue.name
        if self.is_fair:
            self.broker.check_order()

    def _bind_again(self) -> None:
        channel = self.broker.connect().channel()
        for service in (self.shop, self.bank):
            service.topology.declare(channel, service.handlers)
        channel.connection.close()

    def _actors(self) -> Iterator[Actor]:
        for number, process in enumerate(self._processes, 1):
            for name, step in (
                ("relay", process.relay),
                ("consumer", process.consume),
                ("executor", process.perform),
                ("parked", process.take_up_parked),
            ):
                yield Actor(f"{name} {number}", _available(step), process.begin)
        yield Actor("customer", self._ask, lambda: None)
        yield Actor("accidents", self._have_an_accident, lambda: None)

    def _ask(self) -> bool:
        if not self._to_ask:
            return False
        order = self._to_ask.pop(0)
        customer = order.split("/")[0]

        def ask(unit: Unit) -> None:
            unit.announce(PaymentAsked, order)
            if self.chances.happens(3):
                # Others commit while this is under way, and are seen before it.
                self.let_others_go_on(0.1)
                if self._to_ask:
                    self._ask()
                    self.let_others_go_on(0.1)
            if not self.shop.unit.customers.find(customer):
                unit.customers.put(customer, row=True)
                unit.announce(CustomerJoined, customer)

        self.shop.units.run(ask)
        return True

    def _have_an_accident(self) -> bool:
        if self.chances.is_calm:
            return False
        chance = self.chances.random.random()
        if not self.broker.is_up:
            self.broker.start()
        elif chance < 0.1:
            self.broker.stop()
        elif chance < 0.3:
            self.chances.random.choice(self._processes).cut_off()
        elif chance < 0.4:
            service = self.chances.random.choice([self.shop, self.bank])
            event_type = self.chances.random.choice(list(service.handlers))
            self.broker.unbind(service.topology.queue, event_type)
        elif chance < 0.6:
            self._bind_again()
        return True


class WatchedBroker(MemoryBroker):
    """Remembers in which order the versions of each aggregate came first."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self._came: dict[tuple[str, str], list[int]] = {}

    def publish(self, message: Any) -> list[Any]:
        taken = super().publish(message)
        if taken and message.exchange == EXCHANGE:
            headers = message.properties.headers
            key = (headers["cloudEvents_source"], headers["cloudEvents_subject"])
            version = json.loads(message.body)["version"]
            came = self._came.setdefault(key, [])
            if version not in came:
                came.append(version)
        return taken

    def check_order(self) -> None:
        for key, came in self._came.items():
            assert came == list(range(1, len(came) + 1)), f"{key}: {came}"


def _available(step: Callable[[], bool]) -> Callable[[], bool]:
    def guarded() -> bool:
        try:
            return step()
        except Unavailable:
            return True

    return guarded


@contextmanager
def silent() -> Iterator[None]:
    """Log nothing: thousands of steps a second would."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(_logger: object, _name: str, _event: object) -> Any:
    raise structlog.DropEvent
