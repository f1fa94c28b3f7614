"""What the suites send: two messages with schemas of their own, of which one is never heard."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final

from octoco.events import Event
from octoco.ids import new_id
from octoco.messaging.contracts import Contracts
from octoco.ports import MessagingUnit, UnitsOfWork

PROBE_CONTRACTS: Final = Contracts(Path(__file__).parent / "contracts")
Units = UnitsOfWork[MessagingUnit]


@dataclass(frozen=True)
class Happened:
    """Something happened to a thing, for the n-th time."""

    TYPE: ClassVar[str] = "probe.thing.happened.v1"

    thing: str
    n: int

    @property
    def aggregate_id(self) -> str:
        return self.thing

    def to_data(self) -> dict[str, object]:
        return {"thing": self.thing, "n": self.n}


class Unheard(Happened):
    """Something that no queue is bound to."""

    TYPE: ClassVar[str] = "probe.thing.unheard.v1"


class Undo(BaseException):
    """Raised in a unit of work to see it rolled back, past everything that catches exceptions."""


def event_of(message: Happened, *, event_id: str | None = None) -> Event:
    """Return a message as a publisher gets it.

    Args:
        message: What happened.
        event_id: None makes a new one.
    """
    return Event(
        id=event_id or new_id("msg"),
        type=message.TYPE,
        source="probe",
        aggregate_id=message.aggregate_id,
        occurred_at=datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
        data=message.to_data(),
        correlation_id="cor_probe",
    )


def announce(units: Units, *messages: Happened) -> Sequence[str]:
    """Add each message to the outbox in a unit of its own; return their ids."""

    def add(message: Happened) -> str:
        return units.run(lambda unit: unit.outbox.add(message))

    return [add(message) for message in messages]


def numbers(events: Sequence[Any], thing: str) -> list[int]:
    """Return what was counted of one thing, in the order of the events."""
    return [event.data["n"] for event in events if event.aggregate_id == thing]
