"""What must hold when many ask at once: real threads on real PostgreSQL."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from flask.testing import FlaskClient

from octoco.errors import Refusal
from octoco.ids import new_id
from wallet.bootstrap import Wallet
from wallet.entrypoints.http.app import application

from .driving import Driver, zar

T = TypeVar("T")
Headers = Callable[..., dict[str, str]]


def at_once(works: Sequence[Callable[[], T]], *, threads: int = 10) -> list[T | str]:
    """Start all works together and return what each returned, or the refusal it raised."""
    start = threading.Barrier(min(threads, len(works)))

    def one(work: Callable[[], T]) -> T | str:
        start.wait(timeout=30)
        try:
            return work()
        except Refusal as refusal:
            return refusal.code

    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(one, works))


def test_parallel_withdrawals_never_overdraw(driver: Driver) -> None:
    user_id = driver.user_with("1000.00")
    bank_account_id = driver.new_bank_account(user_id)

    def withdraw() -> str:
        return driver.request_withdrawal(
            user_id, zar("300.00"), bank_account_id=bank_account_id
        ).status.value

    results = Counter(at_once([withdraw] * 20))
    assert results == {"pending": 3, "insufficient_funds": 17}
    balance = driver.balance(user_id)
    assert (balance.available, balance.held) == (zar("100.00"), zar("900.00"))


def test_a_crowd_cannot_exceed_the_limit_of_a_day(driver: Driver) -> None:
    user_id = driver.user_with("20000.00")
    bank_account_id = driver.new_bank_account(user_id)

    def withdraw() -> str:
        return driver.request_withdrawal(
            user_id, zar("1500.00"), bank_account_id=bank_account_id
        ).status.value

    results = Counter(at_once([withdraw] * 20))
    assert results == {"pending": 5, "limit_exceeded": 15}
    assert driver.balance(user_id).held == zar("7500.00")


def test_one_idempotency_key_fifty_times_at_once_has_one_effect(
    driver: Driver, wallet: Wallet, headers: Headers
) -> None:
    user_id = driver.user_with("1000.00")
    bank_account_id = driver.new_bank_account(user_id)
    request = headers(user_id)
    body = {"amount": "100.00", "currency": "ZAR", "bank_account_id": bank_account_id}
    app = application(wallet)

    def withdraw() -> str:
        client: FlaskClient = app.test_client()
        answer: Any = client.post("/v1/withdrawals", json=body, headers=request)
        return str(answer.json["id" if answer.status_code == 201 else "code"])

    made = set(at_once([withdraw] * 50)) - {"idempotency_key_in_flight"}
    assert len(made) == 1
    balance = driver.balance(user_id)
    assert (balance.available, balance.held) == (zar("900.00"), zar("100.00"))
    repeat: Any = app.test_client().post("/v1/withdrawals", json=body, headers=request)
    assert (repeat.status_code, repeat.json["id"]) == (201, made.pop())
    assert repeat.headers["Idempotent-Replayed"] == "true"


def test_duplicate_credits_at_once_post_once_and_are_all_answered(driver: Driver) -> None:
    user_id = driver.new_user()
    deposit = driver.request_deposit(user_id, zar("250.00"))
    purchase_id = new_id("pur")
    at_once(
        [lambda: driver.pay(deposit.id, zar("250.00"), purchase_id=purchase_id, fee="5.00")] * 20
    )
    assert driver.balance(user_id).available == zar("250.00")
    assert driver.announced(f"purchase:{purchase_id}") == ["wallet.money_fact.answered.v1"] * 20
    assert driver.announced(deposit.id).count("wallet.deposit.completed.v1") == 1
    keys = driver.rows(
        "SELECT business_key FROM transfers WHERE subject = :subject ORDER BY kind",
        subject=purchase_id,
    )
    assert [row.business_key for row in keys] == [
        f"purchase:{purchase_id}",
        f"fee:{purchase_id}:5.00",
    ]


def test_money_that_matches_nothing_is_suspended_once_by_a_crowd(driver: Driver) -> None:
    purchase_id = new_id("pur")
    at_once([lambda: driver.pay(None, zar("9.00"), purchase_id=purchase_id)] * 10)
    answers = driver.announced(f"purchase:{purchase_id}")
    assert answers == ["wallet.money_fact.answered.v1"] * 10
    count = "SELECT count(*) FROM transfers WHERE subject = :subject AND kind = 'suspense'"
    assert driver.scalar(count, subject=purchase_id) == 1
    cases = "SELECT count(*) FROM operator_cases WHERE subject = :subject"
    assert driver.scalar(cases, subject=f"purchase:{purchase_id}") == 1


def test_two_purchases_racing_for_one_deposit_credit_one_and_suspend_the_other(
    driver: Driver,
) -> None:
    user_id = driver.new_user()
    deposit = driver.request_deposit(user_id, zar("250.00"))
    purchases = [new_id("pur"), new_id("pur")]
    at_once(
        [
            partial(driver.pay, deposit.id, zar("250.00"), purchase_id=purchase_id)
            for purchase_id in purchases
        ]
    )
    assert driver.balance(user_id).available == zar("250.00")
    outcomes = driver.rows(
        "SELECT outcome FROM money_fact_answers WHERE fact_key = ANY(:keys) ORDER BY outcome",
        keys=[f"purchase:{one}" for one in purchases],
    )
    assert [row.outcome for row in outcomes] == ["credited", "suspended"]


def test_settling_and_releasing_at_once_end_a_hold_once(driver: Driver) -> None:
    for _ in range(5):
        user_id = driver.user_with("100.00")
        bank_account_id = driver.new_bank_account(user_id)
        withdrawal = driver.request_withdrawal(
            user_id, zar("100.00"), bank_account_id=bank_account_id
        )
        payout_id = new_id("out")
        settle = partial(driver.succeed_payout, withdrawal.id, zar("100.00"), payout_id)
        release = partial(driver.fail_payout, withdrawal.id, zar("100.00"))
        at_once([settle, release] * 5)
        balance = driver.balance(user_id)
        status = driver.status(withdrawal.id)
        assert (status, balance.available.amount_text, balance.held.amount_text) in {
            ("completed", "0.00", "0.00"),
            ("failed", "100.00", "0.00"),
        }
        ends = "SELECT count(*) FROM transfers WHERE business_key = :key"
        assert driver.scalar(ends, key=f"hold_end:{withdrawal.id}") == 1
        cases = "SELECT count(*) FROM operator_cases WHERE transaction_id = :id"
        assert driver.scalar(cases, id=withdrawal.id) == 1


def test_news_of_a_user_and_their_first_deposit_at_once_open_one_set_of_accounts(
    driver: Driver,
) -> None:
    user_id = driver.new_user()
    at_once([lambda: driver.request_deposit(user_id, zar("1.00"))] * 10)
    count = "SELECT count(*) FROM ledger_accounts WHERE user_id = :id AND currency = 'ZAR'"
    assert driver.scalar(count, id=user_id) == 3
