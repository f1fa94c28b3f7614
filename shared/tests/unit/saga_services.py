"""A shop that asks for payments, and a bank that makes them by calling an acquirer."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Final

from octoco.errors import TooEarly, Unavailable
from octoco.events import Event
from octoco.intents import Done, Intent
from octoco.messaging.contracts import Contracts
from octoco.messaging.handling import BatchHandler, Handler
from octoco.testing import FakeUnit
from octoco.testing.memory_units import MemoryTable
from octoco.testing.saboteurs import Chances
from octoco.testing.stepping import VirtualClock


@dataclass(frozen=True)
class _Message:
    TYPE: ClassVar[str]

    about: str
    version: int

    @property
    def aggregate_id(self) -> str:
        return self.about

    def to_data(self) -> dict[str, object]:
        return {"about": self.about, "version": self.version}


class CustomerJoined(_Message):
    TYPE = "shop.customer.joined.v1"


class PaymentAsked(_Message):
    TYPE = "shop.payment.asked.v1"


class OrderClosed(_Message):
    TYPE = "shop.order.closed.v1"


class PaymentMade(_Message):
    TYPE = "bank.payment.made.v1"


class PaymentSettled(_Message):
    TYPE = "bank.payment.settled.v1"


def _contracts() -> Contracts:
    schema = {
        "type": "object",
        "required": ["about", "version"],
        "properties": {"about": {"type": "string"}, "version": {"type": "integer"}},
    }
    with TemporaryDirectory() as folder:
        for message in (
            CustomerJoined,
            PaymentAsked,
            OrderClosed,
            PaymentMade,
            PaymentSettled,
        ):
            (Path(folder) / f"{message.TYPE}.json").write_text(json.dumps(schema))
        return Contracts(Path(folder))


CONTRACTS: Final = _contracts()


class Unit(FakeUnit):
    """A service's unit: who is known, which versions were given out, and what has come about."""

    def __init__(self, *, clock: VirtualClock, source: str) -> None:
        super().__init__(contracts=CONTRACTS, clock=clock, source=source)
        self.customers: MemoryTable[str, bool] = MemoryTable()
        self.versions: MemoryTable[str, int] = MemoryTable()
        self.effects: MemoryTable[str, int] = MemoryTable()

    def announce(self, message: type[_Message], about: str) -> None:
        version = (self.versions.find(about) or 0) + 1
        self.versions.put(about, version)
        self.outbox.add(message(about, version))

    def happen(self, effect: str) -> None:
        self.effects.put(effect, (self.effects.find(effect) or 0) + 1)


def _effect_of(unit: Unit, event: Event) -> None:
    unit.happen(f"{event.type} {event.data['about']} {event.data['version']}")


def _remember(unit: Unit, event: Event) -> None:
    unit.customers.put(event.data["about"], row=True)
    _effect_of(unit, event)


def _take_payment(unit: Unit, event: Event) -> None:
    customer = event.data["about"].split("/")[0]
    if not unit.customers.find(customer):
        raise TooEarly(waits_for=customer)
    unit.intents.add(kind="charge", subject_id=event.data["about"])
    _effect_of(unit, event)


def _close_order(unit: Unit, event: Event) -> None:
    _effect_of(unit, event)
    unit.announce(OrderClosed, event.data["about"])


SHOP_HANDLERS: Final[dict[str, Handler[Unit]]] = {
    PaymentMade.TYPE: _close_order,
    PaymentSettled.TYPE: _effect_of,
}
BANK_HANDLERS: Final[dict[str, Handler[Unit]]] = {
    CustomerJoined.TYPE: _remember,
    PaymentAsked.TYPE: _take_payment,
    OrderClosed.TYPE: _effect_of,
}


def _effects_of(unit: Unit, events: Sequence[Event]) -> None:
    for event in events:
        _effect_of(unit, event)


def _close_orders(unit: Unit, events: Sequence[Event]) -> None:
    for event in events:
        _close_order(unit, event)


# For some types, so that events are handled one by one and together.
BATCH_HANDLERS: Final[dict[str, BatchHandler[Unit]]] = {
    PaymentMade.TYPE: _close_orders,
    PaymentSettled.TYPE: _effects_of,
    OrderClosed.TYPE: _effects_of,
}


class Acquirer:
    """The outside: charges once for each key, and does not always say so."""

    def __init__(self, chances: Chances) -> None:
        self._chances = chances
        self.charged: set[str] = set()
        self.meanwhile: Callable[[], object] = lambda: None

    def charge(self, key: str) -> None:
        if self._chances.happens(10):
            raise Unavailable("The acquirer is away.")
        self.charged.add(key)
        if self._chances.happens(6):
            self.meanwhile()
        if self._chances.happens(10):
            raise Unavailable("The acquirer has not answered.")


class Charging:
    """Performs the bank's intents."""

    schedule_seconds: Sequence[float] = (5, 30)

    def __init__(self, acquirer: Acquirer) -> None:
        self._acquirer = acquirer

    def prepare(self, unit: Unit, intent: Intent) -> str | None:
        return intent.subject_id

    def call(self, prepared: str) -> bool:
        self._acquirer.charge(prepared)
        return True

    def record(self, unit: Unit, intent: Intent, *, prepared: str, answer: bool) -> Done:
        unit.happen(f"charged {prepared}")
        unit.announce(PaymentMade, prepared)
        unit.announce(PaymentSettled, prepared)
        return Done()
