"""What the service's own role cannot do, whatever the code above it tries."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy
from sqlalchemy.exc import DBAPIError

from octoco.ids import new_id
from octoco.money import Money
from payments_gateway.bootstrap import Gateway
from payments_gateway.domain.bank_accounts import bank_account_details
from payments_gateway.domain.payouts import Payout, PayoutStatus
from payments_gateway.domain.sensitive import SensitiveText

NOW = datetime(2026, 9, 21, tzinfo=UTC)


def begun_payout(gateway: Gateway) -> Payout:
    payout = Payout(
        transaction_id=new_id("txn"),
        user_id=new_id("usr"),
        bank_account_id=new_id("ba"),
        money=Money.parse("100.00", "ZAR"),
        status=PayoutStatus.EXECUTING,
        created_at=NOW,
        payout_id="payout-1",
        execution_url=SensitiveText("https://provider.example/po/payout-1/bank/"),
        execution_begun_at=NOW,
    )
    gateway.units.run(lambda unit: unit.payouts.insert(payout))
    return payout


def test_a_payout_comes_back_as_it_was_stored(gateway: Gateway) -> None:
    payout = begun_payout(gateway)
    assert gateway.units.read(lambda unit: unit.payouts.find(payout.transaction_id)) == payout
    assert gateway.units.read(lambda unit: unit.payouts.transaction_of("payout-1")) == (
        payout.transaction_id
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"execution_begun_at": None, "status": PayoutStatus.CREATED},
        {"execution_begun_at": datetime(2027, 1, 1, tzinfo=UTC)},
        {"payout_id": "payout-2"},
    ],
)
def test_the_mark_that_execution_has_begun_is_for_ever(
    gateway: Gateway, changes: dict[str, object]
) -> None:
    payout = begun_payout(gateway)
    changed = replace(payout, **changes)  # type: ignore[arg-type]
    with pytest.raises(DBAPIError):
        gateway.units.run(lambda unit: unit.payouts.save(changed))
    assert gateway.units.read(lambda unit: unit.payouts.find(payout.transaction_id)) == payout


@pytest.mark.parametrize(
    "forbidden",
    [
        "UPDATE bank_accounts SET account_number_encrypted = 'x'",
        "UPDATE bank_accounts SET user_id = 'x'",
        "DELETE FROM bank_accounts",
        "UPDATE money_facts SET data = '{}'",
        "DELETE FROM money_facts",
        "DELETE FROM tombstones",
        "UPDATE webhook_deliveries SET body = ''",
        "DELETE FROM webhook_deliveries",
        "DELETE FROM cases",
        "DELETE FROM payouts",
        "ALTER TABLE payouts DISABLE TRIGGER ALL",
    ],
)
def test_what_is_kept_for_ever_cannot_be_changed(gateway: Gateway, forbidden: str) -> None:
    with pytest.raises(DBAPIError):
        gateway.database.run(
            lambda connection: connection.execute(sqlalchemy.text(forbidden)).rowcount
        )


def test_a_bank_account_comes_back_as_it_was_stored(gateway: Gateway) -> None:
    user_id = new_id("usr")
    details = bank_account_details(
        account_holder="Thandi Nkosi",
        bank_name="First Bank",
        branch_code="250655",
        account_number="62000000001",
        account_type="savings",
    )
    added = gateway.add_bank_account(user_id=user_id, details=details)
    assert gateway.units.read(lambda unit: unit.bank_accounts.kept_by(user_id)) == [added]
