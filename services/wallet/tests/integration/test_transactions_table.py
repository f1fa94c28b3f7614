"""What the table of transactions must be so that units seldom lose races: measured, then kept."""

import sqlalchemy

from octoco.ids import new_id
from wallet.bootstrap import Wallet

from .driving import Driver, zar

_CHANGING = {
    "status",
    "updated_at",
    "checkout_url",
    "checkout_expires_at",
    "provider_id",
    "reason_code",
    "cancel_requested_at",
    "saga_step",
    "saga_step_at",
    "saga_step_due_at",
}


def test_no_index_of_transactions_holds_a_column_that_changes(driver: Driver) -> None:
    indexed = driver.rows(
        """
        SELECT DISTINCT attname FROM pg_index JOIN pg_attribute
            ON attrelid = indrelid AND (attnum = ANY (indkey)
                OR pg_get_expr(indpred, indrelid) ~ ('\\m' || attname || '\\M'))
        WHERE indrelid = 'transactions'::regclass AND attnum > 0
        """
    )
    names = {row.attname for row in indexed}
    assert {"id", "user_id"} <= names
    assert names & _CHANGING == set()


def test_a_saga_that_waits_again_is_listed_again(driver: Driver, wallet: Wallet) -> None:
    user_id = driver.user_with("10.00")
    bank_account_id = driver.new_bank_account(user_id)
    withdrawal = driver.request_withdrawal(user_id, zar("1.00"), bank_account_id=bank_account_id)
    listed = "SELECT count(*) FROM open_sagas WHERE transaction_id = :id"

    def do(statement: str) -> None:
        wallet.units.run(
            lambda unit: unit.connection.execute(
                sqlalchemy.text(statement), {"id": withdrawal.id}
            ).close()
        )

    do("UPDATE transactions SET saga_step = NULL, saga_step_due_at = NULL WHERE id = :id")
    do("DELETE FROM open_sagas WHERE transaction_id = :id")
    do("UPDATE transactions SET saga_step = 's', saga_step_due_at = now() WHERE id = :id")
    assert driver.scalar(listed, id=withdrawal.id) == 1
    assert driver.scalar(listed, id=new_id("txn")) == 0
