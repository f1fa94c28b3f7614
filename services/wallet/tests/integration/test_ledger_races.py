"""Threads and processes want the same money at once: it moves once, and nobody sees a lost race.

Each race runs in a database of its own, whose books are verified at the end. A unit that lost its
race for good would raise something else than a refusal, and fail its test.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import chain
from typing import Final

import pytest

from octoco.ids import new_id
from octoco.money import Money
from octoco.testing import eventually
from wallet.bootstrap import Wallet
from wallet.messages.inbound import DepositPaid

from .books_compared import assert_sound
from .driving import instant, zar
from .fresh_wallets import FreshWallets
from .other_process import Call, OtherProcess, Racer, outcome_of

PROCESSES: Final = 2


@pytest.fixture
def alone(fresh_wallets: FreshWallets) -> Iterator[Wallet]:
    """A wallet that is found sound when the race is over."""
    with fresh_wallets.one() as wallet:
        yield wallet
        assert_sound(wallet)


def race(wallet: Wallet, calls: Sequence[Call], *, threads: int = 25) -> Counter[str]:
    """Do all of it at once, in threads here and in other processes, and count what came of it."""
    mine = calls[:: PROCESSES + 1]
    shares = [calls[number :: PROCESSES + 1] for number in range(1, PROCESSES + 1)]
    racer = Racer(wallet)
    with ExitStack() as stack:
        others = [
            stack.enter_context(OtherProcess(wallet.settings, share, threads=threads))
            for share in shares
            if share
        ]
        for other in others:
            other.wait_until_ready()
        for other in others:
            other.go()
        with ThreadPoolExecutor(threads) as pool:
            outcomes = list(pool.map(lambda call: outcome_of(racer, call), mine))
        return Counter(chain(outcomes, *(other.outcomes() for other in others)))


def shuffled(calls: Sequence[Call]) -> list[Call]:
    return random.Random(20261122).sample(list(calls), len(calls))


def paid_deposit(racer: Racer, user_id: str, money: Money) -> str:
    """Let a user pay in, and return the purchase."""
    purchase_id = new_id("pur")
    deposit = racer.request_deposit(user_id, money)
    racer.pay(deposit.id, money, purchase_id=purchase_id)
    return purchase_id


def balance_of(racer: Racer, user_id: str) -> tuple[str, str, str]:
    balance = racer.balance(user_id)
    return (
        balance.available.amount_text,
        balance.held.amount_text,
        balance.receivable.amount_text,
    )


def test_of_many_withdrawals_of_the_whole_balance_exactly_one_wins(alone: Wallet) -> None:
    racer = Racer(alone)
    user_id = racer.user_with("1000.00")
    bank_account_id = racer.new_bank_account(user_id)
    withdraw = Call(
        "request_withdrawal", (user_id, zar("1000.00")), {"bank_account_id": bank_account_id}
    )
    assert race(alone, [withdraw] * 60) == {"pending": 1, "insufficient_funds": 59}
    assert balance_of(racer, user_id) == ("0.00", "1000.00", "0.00")


def test_one_purchase_told_by_fifty_threads_in_three_processes_is_credited_once(
    alone: Wallet,
) -> None:
    racer = Racer(alone)
    user_id = racer.new_user()
    deposit = racer.request_deposit(user_id, zar("250.00"))
    purchase_id = new_id("pur")
    pay = Call("pay", (deposit.id, zar("250.00")), {"purchase_id": purchase_id, "fee": "5.00"})
    assert race(alone, [pay] * 50, threads=50) == {"done": 50}
    assert balance_of(racer, user_id) == ("250.00", "0.00", "0.00")
    assert racer.announced(f"purchase:{purchase_id}") == ["wallet.money_fact.answered.v1"] * 50
    assert racer.announced(deposit.id).count("wallet.deposit.completed.v1") == 1
    kinds = racer.rows("SELECT kind::text FROM transfers WHERE subject = :it", it=purchase_id)
    assert sorted(row.kind for row in kinds) == ["deposit", "fee"]


def test_fifty_racers_end_a_hold_once(alone: Wallet) -> None:
    racer = Racer(alone)
    for _ in range(2):
        user_id = racer.user_with("100.00")
        racer.hold(hold := new_id("txn"), user_id, zar("100.00"))
        ends = [Call("end_hold", (hold, money)) for money in (zar("100.00"), zar("40.00"), None)]
        outcomes = race(alone, [*ends * 16, *ends[:2]])
        assert outcomes["booked"] == 1
        assert outcomes.total() == 50
        assert set(outcomes) <= {
            "booked",
            "repeated",
            "business_key_reused",
            "hold_already_settled",
            "hold_already_released",
        }
        assert balance_of(racer, user_id) in {
            ("0.00", "0.00", "0.00"),
            ("60.00", "0.00", "0.00"),
            ("100.00", "0.00", "0.00"),
        }


def test_success_and_failure_of_one_payout_at_once_settle_or_release_and_never_both(
    alone: Wallet,
) -> None:
    racer = Racer(alone)
    user_id = racer.user_with("100.00")
    bank_account_id = racer.new_bank_account(user_id)
    withdrawal = racer.request_withdrawal(user_id, zar("100.00"), bank_account_id=bank_account_id)
    succeed = Call("succeed_payout", (withdrawal.id, zar("100.00"), new_id("out")), {"fee": "5.00"})
    fail = Call("fail_payout", (withdrawal.id, zar("100.00")))
    assert race(alone, shuffled([succeed, fail] * 25)) == {"done": 50}
    assert (racer.status(withdrawal.id), balance_of(racer, user_id)) in {
        ("completed", ("0.00", "0.00", "0.00")),
        ("failed", ("100.00", "0.00", "0.00")),
    }


def test_a_transfer_is_reversed_once_by_fifty_racers(alone: Wallet) -> None:
    racer = Racer(alone)
    user_id = racer.new_user()
    purchase_id = paid_deposit(racer, user_id, zar("100.00"))
    racer.hold(hold := new_id("txn"), user_id, zar("60.00"))
    reverse = Call("reverse", (f"purchase:{purchase_id}",))
    assert race(alone, [reverse] * 50) == {"booked": 1, "repeated": 49}
    assert balance_of(racer, user_id) == ("0.00", "60.00", "60.00")
    racer.end_hold(hold, None)
    assert balance_of(racer, user_id) == ("0.00", "0.00", "0.00")


def test_one_key_with_different_amounts_books_one_of_them(alone: Wallet) -> None:
    racer = Racer(alone)
    user_id = racer.user_with("1000.00")
    hold = new_id("txn")
    holds = [Call("hold", (hold, user_id, zar(f"{units}.00"))) for units in range(1, 6)]
    outcomes = race(alone, shuffled(holds * 10))
    assert outcomes == {"booked": 1, "repeated": 9, "business_key_reused": 40}
    racer.end_hold(hold, None)
    assert balance_of(racer, user_id) == ("1000.00", "0.00", "0.00")


def test_one_purchase_told_with_different_amounts_is_booked_as_one_of_them(alone: Wallet) -> None:
    racer = Racer(alone)
    user_id, purchase_id = racer.new_user(), new_id("pur")
    deposit = racer.request_deposit(user_id, zar("100.00"))
    told = [
        Call("pay", (deposit.id, zar(amount)), {"purchase_id": purchase_id})
        for amount in ("100.00", "100.01", "99.99")
    ]
    assert race(alone, shuffled(told * 10)) == {"done": 30}
    booked = racer.rows("SELECT kind::text FROM transfers WHERE subject = :it", it=purchase_id)
    assert len(booked) == 1
    answers = Counter(
        row.data["outcome"]
        for row in racer.rows(
            "SELECT data FROM outbox WHERE aggregate_id = :it", it=f"purchase:{purchase_id}"
        )
    )
    assert answers["refused"] == 20
    assert answers["credited"] + answers["suspended"] == 10


def test_units_that_touch_many_users_in_opposite_orders_all_come_through(alone: Wallet) -> None:
    racer = Racer(alone)
    users = [racer.user_with("100.00") for _ in range(4)]
    chance = random.Random(20261122)
    calls = [
        Call("hold_and_release_each", (chance.sample(users, len(users)), zar("1.00")))
        for _ in range(24)
    ]
    assert race(alone, calls, threads=2) == {"done": 24}
    assert {balance_of(racer, user_id) for user_id in users} == {("100.00", "0.00", "0.00")}
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert eventually(lambda: racer.scalar(deadlocks) > 0, what="deadlocks that nobody saw")


def test_batches_with_the_same_purchases_in_any_order_credit_each_once(alone: Wallet) -> None:
    racer = Racer(alone)
    users = [racer.new_user() for _ in range(4)]
    deposits = [racer.request_deposit(user_id, zar("10.00")) for user_id in users * 5]
    facts = [
        DepositPaid.from_data(
            {
                "fact_key": f"purchase:{(purchase_id := new_id('pur'))}",
                "purchase_id": purchase_id,
                "transaction_id": deposit.id,
                "amount": "10.00",
                "currency": "ZAR",
                "fee_amount": "0.30",
                "paid_at": instant(),
            }
        )
        for deposit in deposits
    ]
    chance = random.Random(20261122)
    calls = [Call("credit_together", (chance.sample(facts, 15),)) for _ in range(30)]
    assert race(alone, calls, threads=4) == {"credited": 30}
    racer.credit_together(facts)
    assert {balance_of(racer, user_id) for user_id in users} == {("50.00", "0.00", "0.00")}
    fees = "SELECT sum(amount) FROM transfers WHERE kind = 'fee'"
    assert str(racer.scalar(fees)) == "6.00"


def test_deposits_chargebacks_and_withdrawals_of_one_user_at_once_leave_sound_books(
    alone: Wallet,
) -> None:
    racer = Racer(alone)
    user_id = racer.new_user()
    bank_account_id = racer.new_bank_account(user_id)
    old = [paid_deposit(racer, user_id, zar("100.00")) for _ in range(10)]
    coming = [racer.request_deposit(user_id, zar("50.00")) for _ in range(10)]
    withdraw = Call(
        "request_withdrawal", (user_id, zar("70.00")), {"bank_account_id": bank_account_id}
    )
    calls = [
        *(Call("pay", (one.id, zar("50.00")), {"purchase_id": new_id("pur")}) for one in coming),
        *(charging_back(purchase_id, zar("100.00")) for purchase_id in old),
        *[withdraw] * 10,
    ]
    outcomes = race(alone, shuffled(calls))
    assert outcomes["done"] == 20
    balance = racer.balance(user_id)
    # All of the 1000.00 that came in first went back; the rest is what came in meanwhile.
    assert balance.held == zar(f"{70 * outcomes['pending']}.00")
    assert balance.available + balance.held - balance.receivable == zar("500.00")


def charging_back(purchase_id: str, money: Money) -> Call:
    chargeback_id = new_id("cbk")
    return Call(
        "deliver",
        ("payments.chargeback.opened.v1",),
        {
            "fact_key": f"chargeback:{chargeback_id}",
            "chargeback_id": chargeback_id,
            "purchase_id": purchase_id,
            "transaction_id": None,
            "amount": money.amount_text,
            "currency": money.currency,
            "opened_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        },
    )
