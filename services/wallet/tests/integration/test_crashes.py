"""What is left when the database goes away in the middle: one effect, or none, never a part."""

from collections.abc import Callable

import psycopg2
import pytest

from octoco.database.engine import CommitOutcomeUnknown
from octoco.errors import Unavailable
from octoco.ids import new_id
from octoco.testing.provisions import ProvisionedSchema
from wallet.adapters.postgres.unit import PostgresWalletUnit
from wallet.bootstrap import Wallet
from wallet.entrypoints.consumer import subscriptions

from .driving import Driver, event_of, instant, zar

PAID = "payments.deposit.paid.v1"


@pytest.fixture
def terminate(schema: ProvisionedSchema) -> Callable[[PostgresWalletUnit], None]:
    """End the server's side of a unit's connection, as a crash of the database would."""

    def end(unit: PostgresWalletUnit) -> None:
        pid = unit.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        admin = psycopg2.connect(schema.admin_url)
        with admin.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        admin.close()

    return end


class Payment:
    """A paid deposit whose handling can be broken off."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._handle = subscriptions(driver.wallet)[PAID]
        self.user_id = driver.new_user()
        self.deposit = driver.request_deposit(self.user_id, zar("250.00"))
        self.purchase_id = new_id("pur")
        self._event = event_of(
            PAID,
            {
                "fact_key": f"purchase:{self.purchase_id}",
                "purchase_id": self.purchase_id,
                "transaction_id": self.deposit.id,
                "amount": "250.00",
                "currency": "ZAR",
                "fee_amount": "5.00",
                "paid_at": instant(),
            },
        )

    def handle(self, unit: PostgresWalletUnit) -> None:
        self._handle(unit, self._event)

    def assert_booked_once(self) -> None:
        driver = self._driver
        assert driver.balance(self.user_id).available == zar("250.00")
        assert driver.announced(f"purchase:{self.purchase_id}") == ["wallet.money_fact.answered.v1"]
        assert driver.announced(self.deposit.id).count("wallet.deposit.completed.v1") == 1


def test_a_connection_lost_in_the_middle_leaves_one_effect_after_the_retry(
    wallet: Wallet, driver: Driver, terminate: Callable[[PostgresWalletUnit], None]
) -> None:
    payment = Payment(driver)
    tries = []

    def work(unit: PostgresWalletUnit) -> None:
        tries.append(unit)
        payment.handle(unit)
        if len(tries) == 1:
            terminate(unit)
        unit.users.exists(payment.user_id)

    wallet.units.run(work)
    assert len(tries) == 2
    payment.assert_booked_once()


def test_a_connection_lost_at_commit_leaves_one_effect_when_the_event_comes_again(
    wallet: Wallet, driver: Driver, terminate: Callable[[PostgresWalletUnit], None]
) -> None:
    payment = Payment(driver)

    def work(unit: PostgresWalletUnit) -> None:
        payment.handle(unit)
        terminate(unit)

    with pytest.raises(CommitOutcomeUnknown):
        wallet.units.run(work)
    assert driver.balance(payment.user_id).available == zar("0.00")
    wallet.units.run(payment.handle)
    payment.assert_booked_once()


def test_a_process_that_dies_before_commit_leaves_nothing(wallet: Wallet, driver: Driver) -> None:
    user_id = driver.user_with("100.00")
    bank_account_id = driver.new_bank_account(user_id)

    class Died(BaseException):
        """Not an error that anybody may handle."""

    def work(unit: PostgresWalletUnit) -> None:
        unit.ledger.place_hold(
            transaction_id=new_id("txn"),
            user_id=user_id,
            money=zar("100.00"),
            effective_at=wallet.clock.now(),
        )
        raise Died

    with pytest.raises(Died):
        wallet.units.run(work)
    balance = driver.balance(user_id)
    assert (balance.available, balance.held) == (zar("100.00"), zar("0.00"))
    driver.request_withdrawal(user_id, zar("100.00"), bank_account_id=bank_account_id)


def test_a_user_that_is_locked_for_too_long_is_answered_with_try_again(
    driver: Driver, schema: ProvisionedSchema
) -> None:
    user_id = driver.user_with("100.00")
    bank_account_id = driver.new_bank_account(user_id)
    other = psycopg2.connect(schema.service_url)
    with other.cursor() as cursor:
        cursor.execute("SELECT FROM users WHERE user_id = %s FOR UPDATE", (user_id,))
        with pytest.raises(Unavailable):
            driver.request_withdrawal(user_id, zar("1.00"), bank_account_id=bank_account_id)
    other.close()
    assert driver.balance(user_id).available == zar("100.00")
