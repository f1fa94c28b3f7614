"""The withdrawal on fakes: each step, whether it succeeds, fails, comes twice, late or never."""

from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest

from octoco.errors import IllegalTransition
from octoco.ids import new_id
from wallet.domain.errors import (
    AmountNotPositive,
    BankAccountNotVerified,
    InsufficientFunds,
    LimitExceeded,
    TransactionNotCancellable,
    TransactionNotFound,
    UserNotKnownYet,
)
from wallet.domain.transactions import Status, Transaction, TransactionKind
from wallet.use_cases.cancel_withdrawal import request_withdrawal_cancel
from wallet.use_cases.find_overdue_sagas import find_overdue_sagas

from .story import NOW, NOW_TEXT, Story, zar


def test_a_withdrawal_holds_its_money_and_settles_when_paid(funded: Story) -> None:
    withdrawal = funded.withdraw()
    assert funded.money() == ("150.00", "100.00")
    funded.accept(withdrawal)
    assert funded.status(withdrawal) == "processing"
    answer = funded.succeed(withdrawal, fee="2.00")
    assert answer["outcome"] == "settled"
    assert funded.status(withdrawal) == "completed"
    assert funded.money() == ("150.00", "0.00")
    assert funded.unit.announced() == [
        "wallet.withdrawal.requested.v1",
        "wallet.withdrawal.completed.v1",
        "wallet.money_fact.answered.v1",
    ]
    assert funded.unit.ledger.system["provider_fees", "ZAR"] == Decimal("-2.00")


def test_a_failed_payout_gives_the_money_back_once(funded: Story) -> None:
    withdrawal = funded.withdraw()
    funded.accept(withdrawal)
    answers = [funded.fail(withdrawal) for _ in range(3)]
    assert [answer["outcome"] for answer in answers] == ["released"] * 3
    assert funded.status(withdrawal) == "failed"
    assert funded.money() == ("250.00", "0.00")
    assert funded.unit.announced().count("wallet.withdrawal.failed.v1") == 1


@pytest.mark.parametrize("order", list(permutations(("accept", "succeed", "succeed"))))
def test_a_withdrawal_settles_in_whatever_order_its_events_come(
    funded: Story, order: tuple[str, ...]
) -> None:
    withdrawal = funded.withdraw()
    for step in order:
        if step == "accept":
            funded.accept(withdrawal)
        else:
            funded.succeed(withdrawal)
    assert funded.status(withdrawal) == "completed"
    assert funded.money() == ("150.00", "0.00")


def test_success_after_failure_books_nothing_and_opens_a_case(funded: Story) -> None:
    withdrawal = funded.withdraw()
    funded.fail(withdrawal)
    for _ in range(2):
        answer = funded.succeed(withdrawal)
        assert (answer["outcome"], answer["code"]) == ("refused", "hold_already_released")
    assert funded.money() == ("250.00", "0.00")
    assert funded.status(withdrawal) == "failed"
    assert funded.cases() == ["hold_already_released"]


def test_failure_after_success_books_nothing_and_opens_a_case(funded: Story) -> None:
    withdrawal = funded.withdraw()
    funded.succeed(withdrawal)
    answer = funded.fail(withdrawal)
    assert (answer["outcome"], answer["code"]) == ("refused", "hold_already_settled")
    assert funded.money() == ("150.00", "0.00")
    assert funded.cases() == ["hold_already_settled"]


def test_a_second_payout_for_one_withdrawal_is_refused(funded: Story) -> None:
    withdrawal = funded.withdraw()
    funded.succeed(withdrawal, payout_id="o1")
    answer = funded.succeed(withdrawal, payout_id="o2")
    assert (answer["outcome"], answer["code"]) == ("refused", "hold_already_settled")
    assert funded.money() == ("150.00", "0.00")


def test_a_payout_of_another_amount_is_refused_and_the_hold_stays(funded: Story) -> None:
    withdrawal = funded.withdraw()
    for answer in (funded.succeed(withdrawal, "99.00"), funded.fail(withdrawal, "99.00")):
        assert (answer["outcome"], answer["code"]) == ("refused", "amount_mismatch")
    assert funded.money() == ("150.00", "100.00")


def test_a_payout_for_no_withdrawal_of_ours_is_refused(funded: Story) -> None:
    unknown = funded.withdraw()
    unknown.id = new_id("txn")
    assert funded.succeed(unknown)["code"] == "unknown_transaction"
    assert funded.fail(unknown)["code"] == "unknown_transaction"
    assert funded.money() == ("150.00", "100.00")


def cancel(story: Story, withdrawal: Transaction) -> None:
    story.units.run(
        lambda unit: request_withdrawal_cancel(
            unit, user_id=story.user_id, transaction_id=withdrawal.id, at=NOW
        )
    )


def test_a_cancelled_withdrawal_keeps_its_hold_until_the_gateway_has_stopped_it(
    funded: Story,
) -> None:
    withdrawal = funded.withdraw()
    cancel(funded, withdrawal)
    cancel(funded, withdrawal)
    assert funded.money() == ("150.00", "100.00")
    assert funded.unit.announced().count("wallet.withdrawal.cancel_requested.v1") == 1
    funded.cancelled(withdrawal)
    funded.cancelled(withdrawal)
    assert funded.status(withdrawal) == "cancelled"
    assert funded.money() == ("250.00", "0.00")
    assert funded.unit.announced().count("wallet.withdrawal.failed.v1") == 1
    assert funded.fail(withdrawal)["outcome"] == "released"
    assert funded.money() == ("250.00", "0.00")


def test_a_refused_cancel_changes_nothing(funded: Story) -> None:
    withdrawal = funded.withdraw()
    cancel(funded, withdrawal)
    funded.deliver(
        "payments.payout.cancel_refused.v1",
        transaction_id=withdrawal.id,
        reason_code="execution_begun",
    )
    assert funded.status(withdrawal) == "pending"
    assert funded.money() == ("150.00", "100.00")
    assert funded.succeed(withdrawal)["outcome"] == "settled"


def test_a_cancel_that_contradicts_the_execution_releases_nothing(funded: Story) -> None:
    withdrawal = funded.withdraw()
    funded.accept(withdrawal)
    with pytest.raises(TransactionNotCancellable):
        cancel(funded, withdrawal)
    funded.cancelled(withdrawal)
    assert funded.money() == ("150.00", "100.00")
    assert funded.cases() == ["cancelled_after_execution"]


def test_a_release_repays_what_the_user_owes_first(funded: Story) -> None:
    # After a chargeback of 250.00 with 100.00 on hold, 100.00 are owed.
    withdrawal = funded.withdraw()
    funded.units.run(
        lambda unit: unit.ledger.reverse(business_key="purchase:funding", effective_at=NOW)
    )
    (balance,) = funded.unit.ledger.balances(user_id=funded.user_id)
    assert balance.receivable.amount_text == "100.00"
    funded.fail(withdrawal)
    (balance,) = funded.unit.ledger.balances(user_id=funded.user_id)
    assert (balance.available.amount_text, balance.receivable.amount_text) == ("0.00", "0.00")


@pytest.mark.parametrize(
    ("amount", "refusal"),
    [
        ("250.01", InsufficientFunds),
        ("0.00", AmountNotPositive),
        ("-5.00", AmountNotPositive),
        ("500.01", LimitExceeded),
    ],
)
def test_withdrawals_that_cannot_be_are_refused_and_leave_nothing(
    funded: Story, amount: str, refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        funded.withdraw(amount)
    assert funded.money() == ("250.00", "0.00")
    assert funded.unit.announced() == []
    assert len(funded.unit.transactions.stored) == 1


def test_a_bank_account_must_be_verified_and_the_users_own(funded: Story) -> None:
    own = funded.bank_account_id
    funded.bank_account_id = new_id("ba")
    with pytest.raises(BankAccountNotVerified):
        funded.withdraw()
    stranger = Story()
    funded.deliver("accounts.user.registered.v1", user_id=stranger.user_id, registered_at=NOW_TEXT)
    funded.bank_account_id = own
    with pytest.raises(BankAccountNotVerified):
        funded.withdraw(user_id=stranger.user_id)
    funded.remove_bank_account()
    with pytest.raises(BankAccountNotVerified):
        funded.withdraw()


def test_a_removed_bank_account_stays_removed_when_its_verification_comes_later(
    funded: Story,
) -> None:
    funded.bank_account_id = new_id("ba")
    funded.remove_bank_account()
    funded.verify_bank_account()
    with pytest.raises(BankAccountNotVerified):
        funded.withdraw()


def test_the_limit_of_a_day_counts_what_did_not_fail(funded: Story) -> None:
    funded.pay(funded.deposit("2000.00").id, "2000.00", purchase_id="more")
    first = funded.withdraw("500.00")
    funded.withdraw("300.00")
    with pytest.raises(LimitExceeded):
        funded.withdraw("0.01")
    funded.fail(first, "500.00")
    funded.withdraw("500.00")
    with pytest.raises(LimitExceeded):
        funded.withdraw("0.01")
    funded.clock.advance(timedelta(hours=24))
    funded.withdraw("0.01")


def test_a_user_whose_news_has_not_come_is_asked_to_come_back() -> None:
    story = Story()
    story.user_id = new_id("usr")
    with pytest.raises(UserNotKnownYet):
        story.deposit()
    with pytest.raises(UserNotKnownYet):
        story.withdraw()
    # The verification may be the first that is heard of a user.
    story.deliver("accounts.user.email_verified.v1", user_id=story.user_id, verified_at=NOW_TEXT)
    assert story.deposit().status is Status.PENDING


@pytest.mark.parametrize(
    "event",
    [
        ("payments.checkout.attempt_failed.v1", {"purchase_id": "p", "reason_code": "declined"}),
        ("payments.payout.accepted.v1", {"payout_id": "o"}),
        ("payments.payout.cancelled.v1", {}),
    ],
)
def test_events_about_transactions_that_never_were_are_refused(
    story: Story, event: tuple[str, dict[str, Any]]
) -> None:
    with pytest.raises(TransactionNotFound):
        story.deliver(event[0], transaction_id=new_id("txn"), **event[1])


def test_a_saga_past_its_deadline_is_found_and_nothing_else_happens(funded: Story) -> None:
    withdrawal = funded.withdraw()
    deposit = funded.deposit()
    funded.open_checkout(deposit)

    def overdue() -> list[str]:
        found = find_overdue_sagas(funded.unit, at=funded.clock.now(), limit=10)
        return [saga.step for saga in found]

    assert overdue() == []
    funded.clock.advance(timedelta(minutes=16))
    assert overdue() == ["execute_payout"]
    funded.clock.advance(timedelta(days=3))
    assert overdue() == ["execute_payout", "await_payment"]
    assert funded.money() == ("150.00", "100.00")
    assert funded.succeed(withdrawal)["outcome"] == "settled"
    assert overdue() == ["await_payment"]


def test_an_illegal_move_is_refused_by_the_table() -> None:
    transaction = Transaction.requested(
        id="txn_1", user_id="usr_1", kind=TransactionKind.WITHDRAWAL, money=zar("1.00"), at=NOW
    )
    transaction.move_to(Status.FAILED, at=NOW, cause="test", reason_code="test")
    with pytest.raises(IllegalTransition):
        transaction.move_to(Status.COMPLETED, at=NOW, cause="test")
