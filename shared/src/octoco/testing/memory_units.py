"""Units of work in memory: what a unit did is taken back when it fails, and seen when it commits.

The stores of this kit say how to take back what they do, which costs a unit only what it changed.
Any other store of a unit is copied before and put back.
"""

import copy
from collections.abc import Callable
from contextvars import ContextVar
from typing import Generic, Self, TypeVar

K = TypeVar("K")
T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")

_Act = Callable[[], object]


class MemoryTransaction:
    """What is to be done when the unit under way is rolled back, and when it has committed."""

    def __init__(self) -> None:
        self._undo: list[_Act] = []
        self._then: list[_Act] = []

    def on_roll_back(self, act: _Act) -> None:
        """Have `act` called if the unit is rolled back; the last one is called first."""
        self._undo.append(act)

    def on_commit(self, act: _Act) -> None:
        """Have `act` called when the unit commits; the first one is called first."""
        self._then.append(act)

    def commit(self) -> None:
        for act in self._then:
            act()

    def roll_back(self) -> None:
        for act in reversed(self._undo):
            act()


_under_way: ContextVar[MemoryTransaction | None] = ContextVar("octoco_memory_unit", default=None)


class TransactionalStore:
    """Base of the stores in memory that take back by themselves what a unit did.

    Used outside of any unit, such a store keeps at once what it is given.
    """

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        # It is not put back from a copy, so whoever refers to it goes on referring to it.
        return self

    def _on_roll_back(self, act: _Act) -> None:
        if (unit := _under_way.get()) is not None:
            unit.on_roll_back(act)

    def _on_commit(self, act: _Act) -> None:
        if (unit := _under_way.get()) is not None:
            unit.on_commit(act)
        else:
            act()


class MemoryTable(TransactionalStore, Generic[K, V]):
    """Rows by their key, for the stores that a test gives to a unit of its own."""

    def __init__(self) -> None:
        self.rows: dict[K, V] = {}

    def find(self, key: K) -> V | None:
        """Return a row, if there is one."""
        return self.rows.get(key)

    def put(self, key: K, row: V) -> None:
        """Store a row in the unit under way, in the place of one with the same key."""
        before = self.rows.get(key)
        self.rows[key] = row
        self._on_roll_back(
            lambda: self.rows.pop(key) if before is None else self.rows.update({key: before})
        )


class FakeUnitsOfWork(Generic[U]):
    """Runs work on one in-memory unit, and takes everything back if it raises.

    A unit that is run while another is under way commits by itself, as on two connections.

    Args:
        unit: Any object whose attributes are the stores.
        after_commit: See `octoco.database.PostgresUnitsOfWork`.
    """

    def __init__(self, unit: U, *, after_commit: _Act | None = None) -> None:
        self.unit = unit
        self._after_commit = after_commit

    def run(
        self,
        work: Callable[[U], T],
        *,
        contended_on: str | None = None,  # noqa: ARG002 - there is no crowd in memory
    ) -> T:
        before = self._copies()
        transaction = MemoryTransaction()
        token = _under_way.set(transaction)
        try:
            result = work(self.unit)
            transaction.commit()
        except BaseException:
            transaction.roll_back()
            vars(self.unit).update(before)
            raise
        finally:
            _under_way.reset(token)
        if self._after_commit is not None:
            self._after_commit()
        return result

    def read(self, work: Callable[[U], T]) -> T:
        return work(self.unit)

    def _copies(self) -> dict[str, object]:
        # In one go, so that stores which share a part share it afterwards too.
        return copy.deepcopy(
            {
                name: store
                for name, store in vars(self.unit).items()
                if not isinstance(store, TransactionalStore)
            }
        )
