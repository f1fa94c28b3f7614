"""What tests of every service use: waiting, fakes of the ports, and real servers to test on."""

from octoco.testing.fakes import (
    FakeIdempotencyKeys,
    FakeInbox,
    FakeIntents,
    FakeOutbox,
    FakeUnit,
)
from octoco.testing.memory_units import FakeUnitsOfWork
from octoco.testing.waiting import eventually

__all__ = [
    "FakeIdempotencyKeys",
    "FakeInbox",
    "FakeIntents",
    "FakeOutbox",
    "FakeUnit",
    "FakeUnitsOfWork",
    "eventually",
]
