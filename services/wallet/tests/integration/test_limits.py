"""Limits on real PostgreSQL: what counts, and that no crowd gets past them."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg2
import pytest
from flask.testing import FlaskClient
from psycopg2 import extensions

from octoco.ids import new_id
from wallet.bootstrap import build
from wallet.config import Settings
from wallet.domain.errors import LimitExceeded
from wallet.domain.limits import Bounds, Counted, Limits
from wallet.domain.roles import Role
from wallet.domain.transactions import Transaction, TransactionKind
from wallet.entrypoints.http.app import application
from wallet.use_cases.request_deposit import request_deposit
from wallet.use_cases.request_withdrawal import request_withdrawal

from .conftest import OneKey
from .driving import NO_WAIT, Driver, zar
from .test_races import at_once

Headers = Callable[..., dict[str, str]]
THREADS = 50
OPEN = Bounds(per_transaction={"ZAR": None})


class Mover:
    """One user who asks again and again, under limits of the test's own."""

    def __init__(self, driver: Driver, bounds: Bounds) -> None:
        self._driver = driver
        self.user_id = driver.user_with("20000.00")
        self._bank_account_id = driver.new_bank_account(self.user_id)
        self._limits = Limits(deposits=bounds, withdrawals=bounds)

    def withdraw(self, amount: str = "100.00", *, at: datetime | None = None) -> Transaction:
        return self._driver.wallet.units.run(
            lambda unit: request_withdrawal(
                unit,
                user_id=self.user_id,
                money=zar(amount),
                bank_account_id=self._bank_account_id,
                limits=self._limits,
                at=at or self._driver.wallet.clock.now(),
            ),
            contended_on=self.user_id,
        )

    def deposit(self, amount: str = "100.00") -> Transaction:
        return self._driver.wallet.units.run(
            lambda unit: request_deposit(
                unit,
                user_id=self.user_id,
                money=zar(amount),
                limits=self._limits,
                at=self._driver.wallet.clock.now(),
            ),
            contended_on=self.user_id,
        )

    def counted_since(self, since: datetime) -> Sequence[Counted]:
        """Return what counts of the withdrawals."""
        return self._driver.wallet.units.read(
            lambda unit: unit.transactions.counted_since(
                user_id=self.user_id,
                kind=TransactionKind.WITHDRAWAL,
                currency="ZAR",
                since=since,
            )
        )


def refusal_of(ask: Callable[[], object]) -> Mapping[str, Any]:
    with pytest.raises(LimitExceeded) as refused:
        ask()
    return refused.value.details


BOUNDS = [
    ("per_hour", replace(OPEN, per_hour={"ZAR": 7})),
    ("per_day", replace(OPEN, per_day={"ZAR": zar("750.00")})),
    ("per_month", replace(OPEN, per_month={"ZAR": zar("799.99")})),
]


@pytest.mark.parametrize(("name", "bounds"), BOUNDS)
@pytest.mark.parametrize("kind", list(TransactionKind))
def test_fifty_at_once_cannot_exceed_a_limit(
    driver: Driver, name: str, bounds: Bounds, kind: TransactionKind
) -> None:
    mover = Mover(driver, bounds)
    if kind is TransactionKind.DEPOSIT:
        # What the other user paid in to begin with counts as well.
        mover.user_id = driver.new_user()
    ask = mover.deposit if kind is TransactionKind.DEPOSIT else mover.withdraw
    results = Counter(at_once([lambda: ask().status.value] * THREADS, threads=THREADS))
    assert results == {"pending": 7, "limit_exceeded": THREADS - 7}
    (stored,) = driver.rows(
        """
        SELECT count(*) AS count, sum(amount) AS sum FROM transactions
        WHERE user_id = :id AND kind = :kind
        """,
        id=mover.user_id,
        kind=kind.value,
    )
    assert (stored.count, stored.sum) == (7, zar("700.00").amount)
    assert refusal_of(ask)["limit_name"] == name
    if kind is TransactionKind.WITHDRAWAL:
        assert driver.balance(mover.user_id).held == zar("700.00")


def test_what_counts_is_what_the_transactions_say(driver: Driver) -> None:
    mover = Mover(driver, OPEN)
    now = driver.wallet.clock.now()
    # In reverse, so that what is counted does not depend on the order of asking.
    for hours in (0, 1, 5, 23, 25, 26, 200, 719, 721):
        withdrawal = mover.withdraw(f"{hours + 1}.00", at=now - timedelta(hours=hours))
        if hours in {5, 26, 200}:
            driver.fail_payout(withdrawal.id, withdrawal.money)
    for window in (timedelta(hours=1), timedelta(hours=24), timedelta(days=30)):
        since = now - window
        counted = mover.counted_since(since)
        (told,) = driver.rows(
            """
            SELECT coalesce(sum(amount), 0) AS sum, count(*) AS count FROM transactions
            WHERE user_id = :id AND kind = 'withdrawal' AND created_at > :since
              AND status NOT IN ('failed', 'cancelled')
            """,
            id=mover.user_id,
            since=since,
        )
        assert sum(one.money.amount for one in counted) == told.sum
        assert sum(one.count for one in counted) == told.count


def test_a_deposit_counts_while_it_may_still_be_paid_and_again_once_it_is(driver: Driver) -> None:
    mover = Mover(driver, replace(OPEN, per_day={"ZAR": zar("20100.00")}))
    deposit = mover.deposit()
    assert refusal_of(mover.deposit)["left"] == "0.00"
    driver.deliver(
        "payments.checkout.closed.v1",
        transaction_id=deposit.id,
        purchase_id=None,
        status="expired",
        reason_code="checkout_expired",
    )
    second = mover.deposit("60.00")
    assert refusal_of(mover.deposit)["left"] == "40.00"
    # Money that came in late is credited whatever the limits say.
    driver.pay(deposit.id, zar("100.00"), purchase_id=new_id("pur"))
    assert refusal_of(mover.deposit)["left"] == "0.00"
    assert second.money == zar("60.00")


def test_the_service_cannot_write_what_is_counted(
    service_connection: extensions.connection,
) -> None:
    with service_connection.cursor() as cursor:
        for statement in (
            "UPDATE counted_transactions SET ats = '{}', amounts = '{}', counts = '{}'",
            "DELETE FROM counted_transactions",
            "SELECT count_transaction('u', 'withdrawal', 'ZAR', now(), -1, -1, now())",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)
            service_connection.rollback()


def test_a_hundred_thousand_withdrawals_of_one_user_are_counted_quickly(
    driver: Driver, admin_connection: extensions.connection
) -> None:
    mover = Mover(driver, replace(OPEN, per_month={"ZAR": zar("1000002.00")}))
    mover.withdraw("1.00")
    with admin_connection.cursor() as cursor:
        # As 100,000 withdrawals within 30 days leave it: by the hour, and the last day one by one.
        cursor.execute(
            """
            UPDATE counted_transactions AS c SET (ats, amounts, counts) = (
                SELECT array_agg(at ORDER BY at), array_agg(amount ORDER BY at),
                       array_agg(count ORDER BY at)
                FROM (
                    SELECT max(at) AS at, sum(10.00) AS amount, count(*)::integer AS count
                    FROM (
                        SELECT now() - interval '29 days' * n / 100000 AS at
                        FROM generate_series(1, 100000) AS n
                    ) AS one
                    GROUP BY CASE WHEN at > now() - interval '1 day' THEN at
                                  ELSE date_trunc('hour', at, 'UTC') END
                ) AS kept
            ) WHERE user_id = %s AND kind = 'withdrawal' RETURNING cardinality(ats)
            """,
            (mover.user_id,),
        )
        (rows,) = cursor.fetchone() or (0,)
    admin_connection.commit()
    assert 3000 < rows < 5000
    began = time.perf_counter()
    mover.withdraw("1.00")
    seconds = time.perf_counter() - began
    details = refusal_of(lambda: mover.withdraw("2.00"))
    assert (details["limit_name"], details["left"]) == ("per_month", "1.00")
    assert seconds < 1.0


def test_limits_are_told_over_http_with_what_is_left_and_when_there_is_room(
    client: FlaskClient, driver: Driver, headers: Headers
) -> None:
    user_id = driver.user_with("20000.00")
    body = {
        "amount": "2500.00",
        "currency": "ZAR",
        "bank_account_id": driver.new_bank_account(user_id),
    }
    for _ in range(3):
        assert (
            client.post("/v1/withdrawals", json=body, headers=headers(user_id)).status_code == 201
        )
    refused: Any = client.post("/v1/withdrawals", json=body, headers=headers(user_id))
    assert (refused.status_code, refused.json["code"]) == (422, "limit_exceeded")
    assert (refused.json["limit_name"], refused.json["limit"]) == ("per_day", "8000.00")
    assert refused.json["left"] == "500.00"
    again_at = datetime.fromisoformat(refused.json["possible_again_at"])
    assert timedelta(hours=23) < again_at - driver.wallet.clock.now() < timedelta(hours=24)


def test_limits_differ_by_the_roles_in_the_token(
    settings: Settings, token_keys: OneKey, driver: Driver, desk: Headers, headers: Headers
) -> None:
    narrow = Limits(deposits=Bounds(per_transaction={"ZAR": zar("1.00")}), withdrawals=Bounds())
    limits = replace(settings.limits, by_role={Role.SUPPORT: narrow})
    other = build(replace(settings, limits=limits), token_keys=token_keys)
    client = application(other).test_client()
    user_id = driver.new_user()
    body = {"amount": "1.01", "currency": "ZAR"}
    assert client.post("/v1/deposits", json=body, headers=headers(user_id)).status_code == 202
    of_support = desk(user_id, role="support", Prefer=NO_WAIT)
    refused: Any = client.post("/v1/deposits", json=body, headers=of_support)
    assert (refused.json["limit_name"], refused.json["limit"]) == ("per_transaction", "1.00")
    other.database.dispose()
