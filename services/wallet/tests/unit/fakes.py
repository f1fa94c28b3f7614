"""The wallet's unit of work in memory."""

from octoco.testing import FakeIdempotencyKeys, FakeInbox, FakeIntents, FakeOutbox, FakeUnitsOfWork
from wallet.adapters.memory import MemoryWalletUnit


class FakeWalletUnit(MemoryWalletUnit):
    """The unit in memory, with the outbox that keeps what it is given."""

    outbox: FakeOutbox

    def announced(self) -> list[str]:
        """Return the types of the messages, oldest first."""
        return [message.TYPE for message in self.outbox.messages]

    def last_answer(self) -> dict[str, object]:
        """Return the body of the last answer to a fact about money."""
        return self.outbox.of_type("wallet.money_fact.answered.v1")[-1].to_data()


def fake_unit() -> FakeWalletUnit:
    return FakeWalletUnit(FakeOutbox(), FakeInbox(), FakeIntents(), FakeIdempotencyKeys())


def fake_units() -> FakeUnitsOfWork[FakeWalletUnit]:
    return FakeUnitsOfWork(fake_unit())
