"""The deposit on fakes: each step, whether it succeeds, fails, comes twice, late or never."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from itertools import permutations
from typing import Any

import pytest

from octoco.ids import new_id
from octoco.money import Money
from wallet.domain.errors import (
    CurrencyNotOffered,
    LimitExceeded,
    TransactionNotCancellable,
)
from wallet.use_cases.cancel_deposit import cancel_deposit
from wallet.use_cases.request_deposit import request_deposit

from .story import LIMITS, NOW, Story


def test_a_deposit_that_is_paid_is_credited_and_announced(story: Story) -> None:
    deposit = story.deposit()
    story.open_checkout(deposit)
    story.fail_attempt(deposit)
    answer = story.pay(deposit.id, fee="7.25")
    assert story.status(deposit) == "completed"
    assert story.money() == ("250.00", "0.00")
    assert answer["outcome"] == "credited"
    assert story.unit.announced() == [
        "wallet.deposit.requested.v1",
        "wallet.deposit.completed.v1",
        "wallet.money_fact.answered.v1",
    ]
    assert story.causes(deposit) == [
        "requested",
        "checkout_opened",
        "payment_attempt_failed",
        "deposit_paid",
    ]
    assert story.unit.ledger.system["provider_fees", "ZAR"] == Decimal("-7.25")
    assert story.unit.ledger.system["provider_clearing", "ZAR"] == Decimal("-242.75")


def test_a_paid_deposit_is_credited_once_however_often_the_fact_comes(story: Story) -> None:
    deposit = story.deposit()
    first = story.pay(deposit.id)
    again = [story.pay(deposit.id), story.pay(deposit.id)]
    assert again == [first, first]
    assert story.money() == ("250.00", "0.00")
    assert story.unit.announced().count("wallet.deposit.completed.v1") == 1
    assert story.unit.announced().count("wallet.money_fact.answered.v1") == 3


def test_a_fee_that_becomes_known_later_is_posted_by_itself_once(story: Story) -> None:
    deposit = story.deposit()
    for fee in (None, "7.25", "7.25"):
        story.pay(deposit.id, fee=fee)
    assert story.unit.ledger.system["provider_fees", "ZAR"] == Decimal("-7.25")
    assert story.cases() == []


@pytest.mark.parametrize(
    ("told", "booked"),
    [
        (("7.25", "8.00"), "8.00"),
        (("8.00", "7.25"), "7.25"),
        (("7.25", "8.00", "7.25"), "8.00"),
        (("7.25", "0.00"), "0.00"),
        (("0.00", "7.25", "0.00"), "7.25"),
        (("7.25", "8.00", "9.50", "8.00"), "9.50"),
    ],
)
def test_a_fee_that_changes_posts_the_difference_and_a_late_repeat_nothing(
    story: Story, told: tuple[str, ...], booked: str
) -> None:
    deposit = story.deposit()
    for fee in told:
        story.pay(deposit.id, fee=fee)
    assert story.unit.ledger.system.get(("provider_fees", "ZAR"), 0) == -Decimal(booked)
    assert story.unit.ledger.system["provider_clearing", "ZAR"] == Decimal(booked) - 250
    assert story.cases() == []


def test_the_fee_of_a_refused_fact_is_booked(story: Story) -> None:
    deposit = story.deposit()
    story.pay(deposit.id)
    assert story.pay(deposit.id, "999.00", fee="7.25")["outcome"] == "refused"
    assert story.unit.ledger.system["provider_fees", "ZAR"] == Decimal("-7.25")


def test_a_fee_in_another_currency_waits_for_a_person(story: Story) -> None:
    deposit = story.deposit()
    story.pay(deposit.id, fee="7.25")
    story.pay(deposit.id, fee="7.25", currency="USD")
    assert story.unit.ledger.system["provider_fees", "ZAR"] == Decimal("-7.25")
    assert ("provider_fees", "USD") not in story.unit.ledger.system
    assert "fee_currency_mismatch" in story.cases()


def test_a_fact_whose_amount_changes_is_refused_and_opens_a_case(story: Story) -> None:
    deposit = story.deposit()
    story.pay(deposit.id)
    answer = story.pay(deposit.id, "999.00")
    assert (answer["outcome"], answer["code"]) == ("refused", "business_key_reused")
    assert story.money() == ("250.00", "0.00")
    assert story.cases() == ["business_key_reused"]
    assert story.pay(deposit.id)["outcome"] == "credited"


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
def test_late_money_is_still_credited(story: Story, status: str) -> None:
    deposit = story.deposit()
    story.open_checkout(deposit)
    story.close(deposit, status)
    assert story.status(deposit) == status
    assert story.unit.announced()[-1] == "wallet.deposit.failed.v1"
    assert story.pay(deposit.id)["outcome"] == "credited"
    assert story.status(deposit) == "completed"
    assert story.money() == ("250.00", "0.00")


def test_a_deposit_ends_the_same_in_whatever_order_its_events_come() -> None:
    for order in permutations(("open", "attempt", "close", "pay", "pay")):
        story = Story()
        deposit = story.deposit()
        steps: dict[str, Callable[[], object]] = {
            "open": partial(story.open_checkout, deposit),
            "attempt": partial(story.fail_attempt, deposit),
            "close": partial(story.close, deposit),
            "pay": partial(story.pay, deposit.id),
        }
        for step in order:
            steps[step]()
        assert story.status(deposit) == "completed", order
        assert story.money() == ("250.00", "0.00"), order
        assert story.unit.transactions.stored[deposit.id].saga_step is None


@pytest.mark.parametrize(
    ("payment", "code"),
    [
        ({"amount": "249.99"}, "amount_mismatch"),
        ({"amount": "250.00", "currency": "USD"}, "currency_mismatch"),
        ({"transaction_id": None}, "unknown_transaction"),
        ({"transaction_id": new_id("txn")}, "unknown_transaction"),
    ],
)
def test_money_that_fits_no_deposit_goes_to_suspense_and_to_a_person(
    story: Story, payment: dict[str, Any], code: str
) -> None:
    deposit = story.deposit()
    payment = {"transaction_id": deposit.id, **payment}
    for _ in range(2):
        answer = story.pay(payment.pop("transaction_id", deposit.id), **payment)
        payment["transaction_id"] = answer["transaction_id"]
    assert (answer["outcome"], answer["code"]) == ("suspended", code)
    assert story.money() == ("0.00", "0.00")
    assert sum(
        amount for (kind, _), amount in story.unit.ledger.system.items() if kind == "suspense"
    ) == Decimal(str(payment.get("amount", "250.00")))
    assert story.cases() == [code]
    # One that was paid with other money waits for a person; one that nobody paid waits on.
    of_this_deposit = code != "unknown_transaction"
    assert story.status(deposit) == ("review" if of_this_deposit else "pending")


def test_a_second_purchase_for_a_credited_deposit_goes_to_suspense(story: Story) -> None:
    deposit = story.deposit()
    story.pay(deposit.id, purchase_id="p1")
    answer = story.pay(deposit.id, purchase_id="p2")
    assert (answer["outcome"], answer["code"]) == ("suspended", "already_credited")
    assert story.suspense() == Decimal("250.00")
    assert story.money() == ("250.00", "0.00")


def test_money_for_a_withdrawal_is_no_deposit(funded: Story) -> None:
    answer = funded.pay(funded.withdraw().id, "100.00", purchase_id="odd")
    assert (answer["outcome"], answer["code"]) == ("suspended", "unknown_transaction")


def test_cancelling_a_deposit_asks_once_and_waits_for_the_gateway(story: Story) -> None:
    deposit = story.deposit()
    for _ in range(2):
        story.units.run(
            lambda unit: cancel_deposit(
                unit, user_id=story.user_id, transaction_id=deposit.id, at=NOW
            )
        )
    assert story.status(deposit) == "pending"
    assert story.unit.announced().count("wallet.deposit.cancel_requested.v1") == 1
    story.close(deposit, "cancelled")
    assert story.status(deposit) == "cancelled"
    story.pay(deposit.id)
    with pytest.raises(TransactionNotCancellable):
        story.units.run(
            lambda unit: cancel_deposit(
                unit, user_id=story.user_id, transaction_id=deposit.id, at=NOW
            )
        )


def test_deposits_are_bound_by_their_limit_and_to_offered_currencies(story: Story) -> None:
    with pytest.raises(LimitExceeded):
        story.deposit("10000.01")
    with pytest.raises(CurrencyNotOffered):
        story.units.run(
            lambda unit: request_deposit(
                unit,
                user_id=story.user_id,
                money=Money.parse("1.00", "USD"),
                limits=LIMITS,
                at=NOW,
            )
        )
