"""The ledger's promises, kept alike by the kernel in PostgreSQL and by its model in memory."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octoco.errors import Refusal
from octoco.ids import new_id
from octoco.money import Money
from octoco.testing import FakeOutbox
from wallet.adapters.memory_ledger import MemoryLedger
from wallet.bootstrap import Wallet
from wallet.domain.errors import (
    BusinessKeyReused,
    HoldAlreadyReleased,
    HoldAlreadySettled,
    HoldNotFound,
    InsufficientFunds,
    LedgerAccountNotFound,
    TransferNotFound,
    TransferNotReversible,
)
from wallet.domain.ledger import Booked, Posting, PostingKind
from wallet.use_cases.ports import Ledger

from .driving import zar

NOW = datetime(2026, 11, 22, tzinfo=UTC)


class Books:
    """A ledger whose every call is a unit of work of its own.

    Args:
        run: Does one call on an open ledger.
    """

    def __init__(self, run: Callable[[Callable[[Ledger], Any]], Any]) -> None:
        self._run = run
        self.user_id = new_id("usr")
        self.open_accounts(self.user_id, "ZAR")

    def open_accounts(self, user_id: str, currency: str) -> None:
        self._run(lambda ledger: ledger.open_accounts(user_id=user_id, currency=currency))

    def post(
        self, kind: str, money: Money, *, key: str | None = None, subject: str = "s", user: str = ""
    ) -> Booked:
        posting = Posting(
            business_key=key or new_id("key"),
            kind=PostingKind(kind),
            user_id=(user or self.user_id) if kind in {"deposit", "chargeback"} else None,
            money=money,
            subject=subject,
            effective_at=NOW,
        )
        return self._booked(lambda ledger: ledger.post(posting))

    def hold(self, transaction_id: str, money: Money) -> Booked:
        return self._booked(
            lambda ledger: ledger.place_hold(
                transaction_id=transaction_id,
                user_id=self.user_id,
                money=money,
                effective_at=NOW,
            )
        )

    def settle(self, transaction_id: str, money: Money) -> Booked:
        return self._booked(
            lambda ledger: ledger.settle_hold(
                transaction_id=transaction_id, money=money, effective_at=NOW
            )
        )

    def release(self, transaction_id: str) -> Booked:
        return self._booked(
            lambda ledger: ledger.release_hold(transaction_id=transaction_id, effective_at=NOW)
        )

    def reverse(self, business_key: str) -> Booked:
        return self._booked(
            lambda ledger: ledger.reverse(business_key=business_key, effective_at=NOW)
        )

    def balance(self) -> tuple[str, str, str]:
        balances = self._run(lambda ledger: ledger.balances(user_id=self.user_id))
        balance = next(one for one in balances if one.currency == "ZAR")
        return (
            balance.available.amount_text,
            balance.held.amount_text,
            balance.receivable.amount_text,
        )

    def _booked(self, call: Callable[[Ledger], Booked]) -> Booked:
        booked = self._run(call)
        assert isinstance(booked, Booked)
        return booked


def real_books(wallet: Wallet) -> Books:
    return Books(lambda call: wallet.units.run(lambda unit: call(unit.ledger)))


def model_books() -> Books:
    ledger = MemoryLedger(FakeOutbox())
    return Books(lambda call: call(ledger))


@pytest.fixture(params=["postgres", "memory"])
def books(request: pytest.FixtureRequest) -> Iterator[Books]:
    if request.param == "memory":
        yield model_books()
    else:
        yield real_books(request.getfixturevalue("bare_wallet"))


def test_a_deposit_is_available_and_a_repeat_returns_the_original(books: Books) -> None:
    key = new_id("key")
    first = books.post("deposit", zar("250.00"), key=key)
    again = books.post("deposit", zar("250.00"), key=key)
    assert (first.repeated, again.repeated) == (False, True)
    assert first.available == again.available
    assert books.balance() == ("250.00", "0.00", "0.00")


@pytest.mark.parametrize(
    "change",
    [{"money": zar("251.00")}, {"kind": "suspense"}, {"subject": "other"}, {"user": "other"}],
)
def test_a_business_key_posts_one_thing_only(books: Books, change: dict[str, Any]) -> None:
    key = new_id("key")
    original: dict[str, Any] = {"kind": "deposit", "money": zar("250.00"), "key": key}
    books.post(**original)
    if "user" in change:
        change = {"user": new_id("usr")}
        books.open_accounts(change["user"], "ZAR")
    with pytest.raises(BusinessKeyReused):
        books.post(**{**original, **change})
    assert books.balance() == ("250.00", "0.00", "0.00")


def test_a_hold_settles_once(books: Books) -> None:
    books.post("deposit", zar("250.00"))
    hold = new_id("txn")
    assert [books.hold(hold, zar("100.00")).repeated for _ in range(2)] == [False, True]
    assert books.balance() == ("150.00", "100.00", "0.00")
    assert [books.settle(hold, zar("100.00")).repeated for _ in range(2)] == [False, True]
    assert books.balance() == ("150.00", "0.00", "0.00")
    with pytest.raises(HoldAlreadySettled):
        books.release(hold)
    with pytest.raises(BusinessKeyReused):
        books.settle(hold, zar("99.00"))
    assert books.balance() == ("150.00", "0.00", "0.00")


def test_a_hold_releases_once(books: Books) -> None:
    books.post("deposit", zar("250.00"))
    hold = new_id("txn")
    books.hold(hold, zar("100.00"))
    assert [books.release(hold).repeated for _ in range(2)] == [False, True]
    with pytest.raises(HoldAlreadyReleased):
        books.settle(hold, zar("100.00"))
    assert books.balance() == ("250.00", "0.00", "0.00")


def test_a_hold_settled_in_part_releases_the_rest(books: Books) -> None:
    books.post("deposit", zar("250.00"))
    hold = new_id("txn")
    books.hold(hold, zar("100.00"))
    books.settle(hold, zar("30.00"))
    assert books.balance() == ("220.00", "0.00", "0.00")


def test_what_is_not_there_is_refused(books: Books) -> None:
    books.post("deposit", zar("10.00"), key=(key := new_id("key")))
    with pytest.raises(InsufficientFunds):
        books.hold(new_id("txn"), zar("10.01"))
    with pytest.raises(HoldNotFound):
        books.settle(new_id("txn"), zar("1.00"))
    with pytest.raises(HoldNotFound):
        books.release(new_id("txn"))
    with pytest.raises(TransferNotFound):
        books.reverse(new_id("key"))
    with pytest.raises(LedgerAccountNotFound):
        books.post("deposit", Money.parse("1", "JPY"))
    books.hold(hold := new_id("txn"), zar("10.00"))
    with pytest.raises(TransferNotReversible):
        books.reverse(f"hold:{hold}")
    books.reverse(key)
    with pytest.raises(TransferNotReversible):
        books.reverse(f"reversal:{key}")


def test_a_chargeback_of_spent_money_is_owed_and_repaid_first(books: Books) -> None:
    purchase = new_id("pur")
    books.post("deposit", zar("100.00"), key=f"purchase:{purchase}", subject=purchase)
    books.hold(hold := new_id("txn"), zar("80.00"))
    books.post("chargeback", zar("100.00"), subject=purchase)
    assert books.balance() == ("0.00", "80.00", "80.00")
    books.post("deposit", zar("30.00"))
    assert books.balance() == ("0.00", "80.00", "50.00")
    books.release(hold)
    assert books.balance() == ("30.00", "0.00", "0.00")


def test_a_reversal_undoes_once_and_leaves_the_shortfall_owed(books: Books) -> None:
    books.post("deposit", zar("100.00"), key=(key := new_id("key")))
    books.hold(hold := new_id("txn"), zar("60.00"))
    books.settle(hold, zar("60.00"))
    assert [books.reverse(key).repeated for _ in range(2)] == [False, True]
    assert books.balance() == ("0.00", "0.00", "60.00")
    books.reverse(f"hold_end:{hold}")
    assert books.balance() == ("0.00", "0.00", "0.00")


def test_system_movements_touch_no_user(books: Books) -> None:
    assert books.post("fee", zar("1.25")).available is None
    assert books.post("suspense", zar("5.00")).available is None
    assert books.balance() == ("0.00", "0.00", "0.00")


AMOUNTS = st.integers(min_value=1, max_value=9999).map(lambda cents: Money.from_minor(cents, "ZAR"))
KEYS = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.tuples(st.sampled_from(["deposit", "chargeback", "hold", "settle"]), KEYS, AMOUNTS),
    st.tuples(st.sampled_from(["release", "reverse", "reverse_end"]), KEYS, st.none()),
)


def do(books: Books, step: tuple[str, str, Money | None], salt: str) -> None:
    name, key, money = step
    subject = f"{salt}.{key}"
    if name in {"deposit", "chargeback"}:
        assert money is not None
        kind = "purchase" if name == "deposit" else name
        books.post(name, money, key=f"{kind}:{subject}", subject=subject)
    elif name == "reverse":
        books.reverse(f"purchase:{subject}")
    elif name == "reverse_end":
        books.reverse(f"hold_end:{subject}")
    elif name == "release":
        books.release(subject)
    else:
        assert money is not None
        {"hold": books.hold, "settle": books.settle}[name](subject, money)


def outcome(books: Books, step: tuple[str, str, Money | None], salt: str) -> str:
    try:
        do(books, step, salt)
    except Refusal as refusal:
        return refusal.code
    return "booked"


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(STEPS, max_size=14))
def test_whatever_is_asked_the_kernel_does_what_its_model_does(
    bare_wallet: Wallet, steps: list[tuple[str, str, Money | None]]
) -> None:
    real, model = real_books(bare_wallet), model_books()
    salt = new_id("salt")
    for step in steps:
        assert outcome(real, step, salt) == outcome(model, step, salt), step
        assert real.balance() == model.balance(), step


def test_a_refused_step_leaves_nothing_behind(bare_wallet: Wallet) -> None:
    books = real_books(bare_wallet)
    hold = new_id("txn")
    with suppress(InsufficientFunds):
        books.hold(hold, zar("1.00"))
    books.post("deposit", zar("1.00"))
    assert books.hold(hold, zar("1.00")).repeated is False
