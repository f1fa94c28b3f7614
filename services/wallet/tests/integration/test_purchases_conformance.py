"""What becomes of a purchase's money, told alike by the kernel and by its model in memory."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from octoco.errors import Refusal
from octoco.ids import new_id
from octoco.testing import FakeOutbox
from wallet.adapters.memory_ledger import MemoryLedger
from wallet.bootstrap import Wallet
from wallet.domain.ledger import Booked, Posting, PostingKind, PurchaseMoney
from wallet.use_cases.ports import Ledger

from .driving import zar

NOW = datetime(2026, 11, 22, tzinfo=UTC)
PURCHASES = ("a", "b")
Step = tuple[str, str, int, int]
STEPS = st.tuples(
    st.sampled_from(
        ("deposit", "suspense", "refund", "chargeback", "assign", "win", "undo", "hold")
    ),
    st.sampled_from(PURCHASES),
    st.integers(0, 2),
    st.sampled_from((10, 20, 30)),
)


class Books:
    """One ledger, in which purchases have names of this story's own.

    Args:
        run: Does one call on the ledger, in a unit of work of its own.
        prefix: Makes the story's keys its own.
        user_id: Whose money it is.
    """

    def __init__(
        self, run: Callable[[Callable[[Ledger], Any]], Any], *, prefix: str, user_id: str
    ) -> None:
        self._run = run
        self._prefix = prefix
        self._user_id = user_id
        run(lambda ledger: ledger.open_accounts(user_id=user_id, currency="ZAR"))

    def take(self, step: Step) -> str:
        """Do a step; return what came of it."""
        try:
            booked: Booked = self._run(lambda ledger: self._do(ledger, step))
        except Refusal as refusal:
            return refusal.code
        return "repeated" if booked.repeated else "booked"

    def state(self) -> tuple[Any, ...]:
        """Return the user's balance, and what is known of each purchase."""

        def look(ledger: Ledger) -> tuple[Any, ...]:
            balances = [str(balance) for balance in ledger.balances(user_id=self._user_id)]
            found = [ledger.purchase(self._prefix + name) for name in PURCHASES]
            ours = [
                (one.purchase_id, one.left)
                for one in ledger.in_suspense(after=0, limit=10_000)
                if one.purchase_id.startswith(self._prefix)
            ]
            return balances, [_facts(one) for one in found], ours

        return tuple(self._run(look))

    def _do(self, ledger: Ledger, step: Step) -> Booked:
        what, name, number, amount = step
        purchase_id = self._prefix + name
        if what == "win":
            key = f"chargeback:{self._prefix}{number}"
            return ledger.reverse(business_key=key, effective_at=NOW)
        if what == "undo":
            return ledger.reverse(business_key=f"purchase:{purchase_id}", effective_at=NOW)
        if what == "hold":
            return ledger.place_hold(
                transaction_id=f"{self._prefix}{number}",
                user_id=self._user_id,
                money=zar(f"{amount}.00"),
                effective_at=NOW,
            )
        keys = {
            "deposit": f"purchase:{purchase_id}",
            "suspense": f"purchase:{purchase_id}",
            "assign": f"suspense_end:{purchase_id}",
        }
        return ledger.post(
            Posting(
                business_key=keys.get(what, f"{what}:{self._prefix}{number}"),
                kind=PostingKind("suspense_assignment" if what == "assign" else what),
                user_id=self._user_id if what in {"deposit", "assign"} else None,
                money=zar(f"{amount}.00"),
                subject=purchase_id,
                effective_at=NOW,
            )
        )


def _facts(purchase: PurchaseMoney | None) -> tuple[Any, ...] | None:
    if purchase is None:
        return None
    return (
        purchase.user_id,
        purchase.came_in,
        purchase.refunded,
        purchase.charged_back,
        purchase.left,
        purchase.is_undone,
    )


@pytest.mark.usefixtures("bare_wallet")
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(
    # Money that changes hands between a refund and its repeat.
    steps=[
        ("suspense", "a", 0, 30),
        ("refund", "a", 0, 10),
        ("assign", "a", 0, 20),
        ("refund", "a", 0, 10),
    ]
)
@example(
    steps=[
        ("deposit", "a", 0, 30),
        ("chargeback", "a", 0, 30),
        ("win", "a", 0, 10),
        ("win", "a", 0, 10),
        ("refund", "a", 1, 30),
        ("chargeback", "a", 0, 30),
    ]
)
@example(
    steps=[
        ("suspense", "a", 0, 30),
        ("undo", "a", 0, 10),
        ("undo", "a", 0, 10),
        ("assign", "a", 0, 30),
        ("refund", "a", 0, 30),
    ]
)
@given(steps=st.lists(STEPS, min_size=3, max_size=14))
def test_both_ledgers_tell_the_same_of_any_story(
    bare_wallet: Wallet, steps: Sequence[Step]
) -> None:
    names = {"prefix": f"{new_id('pur')}-", "user_id": new_id("usr")}
    model = MemoryLedger(FakeOutbox())
    in_memory = Books(lambda work: work(model), **names)
    in_kernel = Books(lambda work: bare_wallet.units.run(lambda unit: work(unit.ledger)), **names)
    for step in steps:
        assert in_kernel.take(step) == in_memory.take(step), step
        assert in_kernel.state() == in_memory.state(), step
