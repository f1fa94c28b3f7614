"""What the service's own role cannot do, whatever the code above it tries."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy
from sqlalchemy.exc import DBAPIError

from octoco.ids import first_id, new_id
from octoco.money import Money
from octoco.retention import Purge
from payments_gateway.adapters.postgres.unit import GatewayUnit
from payments_gateway.bootstrap import Gateway, worker_parts
from payments_gateway.domain.bank_accounts import bank_account_details
from payments_gateway.domain.payouts import Payout, PayoutStatus
from payments_gateway.domain.sensitive import SensitiveText
from payments_gateway.domain.webhooks import WebhookDelivery

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


def store_delivery(gateway: Gateway, *, days_old: float, is_finished: bool) -> str:
    received_at = datetime.now(UTC) - timedelta(days=days_old)
    delivery = WebhookDelivery(
        delivery_id=first_id("whd", at=received_at)[:-6] + f"{is_finished:06}",
        body=f"{days_old} {is_finished}".encode(),
        signature="signed",
        summary=None,
        received_at=received_at,
    )

    def work(unit: GatewayUnit) -> None:
        unit.deliveries.insert(delivery)
        if is_finished:
            unit.deliveries.finish(delivery.delivery_id, outcome="paid", at=received_at)

    gateway.units.run(work)
    return delivery.delivery_id


@pytest.mark.parametrize(("days_old", "is_finished"), [(1.0, True), (28.0, True), (400.0, False)])
def test_a_webhook_is_kept_for_a_month_and_until_it_is_finished_whatever_is_asked(
    gateway: Gateway, *, days_old: float, is_finished: bool
) -> None:
    store_delivery(gateway, days_old=days_old, is_finished=is_finished)
    with pytest.raises(DBAPIError, match="kept until it is finished, and for a month"):
        gateway.database.statement("DELETE FROM webhook_deliveries", {})


def test_webhooks_that_were_kept_long_enough_are_purged_and_the_others_stay(
    gateway: Gateway,
) -> None:
    gone = store_delivery(gateway, days_old=181, is_finished=True)
    stay = {
        store_delivery(gateway, days_old=179, is_finished=True),
        store_delivery(gateway, days_old=400, is_finished=False),
    }
    (webhooks,) = worker_parts(gateway, subscriptions={}).kept
    purge = Purge(gateway.database, [webhooks])
    assert (purge.run(), purge.run()) == (1, 0)
    left = gateway.database.statement("SELECT delivery_id FROM webhook_deliveries", {})
    assert {row.delivery_id for row in left} == stay
    assert gateway.units.read(lambda unit: unit.deliveries.find(gone)) is None


def test_what_makes_a_payment_happen_once_is_never_forgotten(gateway: Gateway) -> None:
    forgettable = set(worker_parts(gateway, subscriptions={}).forgettable_intents)
    assert forgettable == {"process_webhook", "repeat_money_fact"}


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
