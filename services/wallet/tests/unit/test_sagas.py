"""The sagas on fakes: each step, whether it succeeds, fails, comes twice, late or never."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import permutations
from typing import Any

import pytest

from octoco.clock import FixedClock
from octoco.errors import IllegalTransition
from octoco.events import Event
from octoco.ids import new_id
from octoco.money import Money
from octoco.testing import FakeUnitsOfWork
from wallet.domain.errors import (
    AmountNotPositive,
    BankAccountNotVerified,
    CurrencyNotOffered,
    InsufficientFunds,
    LimitExceeded,
    TransactionNotCancellable,
    TransactionNotFound,
    UserNotKnownYet,
)
from wallet.domain.limits import Limits
from wallet.domain.transactions import Status, Transaction, TransactionKind
from wallet.entrypoints.consumer import handlers
from wallet.use_cases.cancel_deposit import cancel_deposit
from wallet.use_cases.cancel_withdrawal import request_withdrawal_cancel
from wallet.use_cases.find_overdue_sagas import find_overdue_sagas
from wallet.use_cases.request_deposit import request_deposit
from wallet.use_cases.request_withdrawal import request_withdrawal

from .fakes import FakeWalletUnit, fake_units

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_TEXT = "2026-11-22T12:00:00Z"


def zar(amount: str) -> Money:
    return Money.parse(amount, "ZAR")


LIMITS = Limits(
    deposit_per_transaction={"ZAR": zar("10000.00")},
    withdrawal_per_transaction={"ZAR": zar("500.00")},
    withdrawal_per_day={"ZAR": zar("800.00")},
)


class Story:
    """One user and their wallet, with the other services played by the test."""

    def __init__(self) -> None:
        self.clock = FixedClock(NOW)
        self.units: FakeUnitsOfWork[FakeWalletUnit] = fake_units()
        self._handlers = handlers(clock=self.clock, limits=LIMITS)
        self.user_id = new_id("usr")
        self.bank_account_id = new_id("ba")
        self.deliver("accounts.user.registered.v1", user_id=self.user_id, registered_at=NOW_TEXT)

    @property
    def unit(self) -> FakeWalletUnit:
        return self.units.unit

    def deliver(self, event_type: str, **data: Any) -> None:
        event = Event(
            id=new_id("msg"),
            type=event_type,
            source="test",
            aggregate_id="test",
            occurred_at=NOW,
            data=data,
            correlation_id="cor_1",
        )
        self.units.run(lambda unit: self._handlers[event_type](unit, event))

    def deposit(self, amount: str = "250.00") -> Transaction:
        return self.units.run(
            lambda unit: request_deposit(
                unit, user_id=self.user_id, money=zar(amount), limits=LIMITS, at=self.clock.now()
            )
        )

    def open_checkout(self, deposit: Transaction) -> None:
        self.deliver(
            "payments.checkout.opened.v1",
            transaction_id=deposit.id,
            purchase_id="p1",
            checkout_url="https://pay.example/p1",
            expires_at="2026-11-22T13:00:00Z",
        )

    def fail_attempt(self, deposit: Transaction) -> None:
        self.deliver(
            "payments.checkout.attempt_failed.v1",
            transaction_id=deposit.id,
            purchase_id="p1",
            reason_code="insufficient_funds",
        )

    def close(self, deposit: Transaction, status: str = "expired") -> None:
        self.deliver(
            "payments.checkout.closed.v1",
            transaction_id=deposit.id,
            purchase_id="p1",
            status=status,
            reason_code="checkout_" + status,
        )

    def pay(
        self,
        transaction_id: str | None,
        amount: str = "250.00",
        *,
        purchase_id: str = "p1",
        currency: str = "ZAR",
        fee: str | None = None,
    ) -> dict[str, object]:
        self.deliver(
            "payments.deposit.paid.v1",
            fact_key=f"purchase:{purchase_id}",
            purchase_id=purchase_id,
            transaction_id=transaction_id,
            amount=amount,
            currency=currency,
            fee_amount=fee,
            paid_at=NOW_TEXT,
        )
        return self.unit.last_answer()

    def verify_bank_account(self) -> None:
        self.deliver(
            "payments.bank_account.verified.v1",
            bank_account_id=self.bank_account_id,
            user_id=self.user_id,
            masked_number="***1",
            bank_name="Example Bank",
            verified_at=NOW_TEXT,
        )

    def remove_bank_account(self) -> None:
        self.deliver(
            "payments.bank_account.removed.v1",
            bank_account_id=self.bank_account_id,
            user_id=self.user_id,
        )

    def withdraw(self, amount: str = "100.00", user_id: str | None = None) -> Transaction:
        return self.units.run(
            lambda unit: request_withdrawal(
                unit,
                user_id=user_id or self.user_id,
                money=zar(amount),
                bank_account_id=self.bank_account_id,
                limits=LIMITS,
                at=self.clock.now(),
            )
        )

    def accept(self, withdrawal: Transaction) -> None:
        self.deliver("payments.payout.accepted.v1", transaction_id=withdrawal.id, payout_id="o1")

    def succeed(
        self,
        withdrawal: Transaction,
        amount: str = "100.00",
        *,
        payout_id: str = "o1",
        fee: str | None = None,
    ) -> dict[str, object]:
        self.deliver(
            "payments.payout.succeeded.v1",
            fact_key=f"payout:{payout_id}",
            transaction_id=withdrawal.id,
            payout_id=payout_id,
            amount=amount,
            currency="ZAR",
            fee_amount=fee,
            succeeded_at=NOW_TEXT,
        )
        return self.unit.last_answer()

    def fail(self, withdrawal: Transaction, amount: str = "100.00") -> dict[str, object]:
        self.deliver(
            "payments.payout.failed.v1",
            fact_key=f"payout_failed:{withdrawal.id}",
            transaction_id=withdrawal.id,
            payout_id=None,
            amount=amount,
            currency="ZAR",
            reason_code="account_closed",
            failed_at=NOW_TEXT,
        )
        return self.unit.last_answer()

    def cancelled(self, withdrawal: Transaction) -> None:
        self.deliver("payments.payout.cancelled.v1", transaction_id=withdrawal.id)

    def status(self, transaction: Transaction) -> str:
        return self.unit.transactions.stored[transaction.id].status.value

    def causes(self, transaction: Transaction) -> list[str]:
        return [event.cause for event in self.unit.transactions.timeline(transaction.id)]

    def money(self) -> tuple[str, str]:
        """Return what is available and what is held, and check that the books are balanced."""
        (balance,) = self.unit.ledger.balances(user_id=self.user_id)
        users = balance.available.amount + balance.held.amount - balance.receivable.amount
        assert users + sum(self.unit.ledger.system.values()) == 0
        return balance.available.amount_text, balance.held.amount_text

    def suspense(self) -> Decimal:
        return self.unit.ledger.system.get(("suspense", "ZAR"), Decimal(0))

    def cases(self) -> list[str]:
        return [kind for kind, _ in self.unit.operator_cases.opened]


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def funded(story: Story) -> Story:
    story.pay(story.deposit().id, purchase_id="funding")
    story.verify_bank_account()
    story.unit.outbox.messages.clear()
    return story


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
    story.pay(deposit.id, fee="8.00")
    assert story.unit.ledger.system["provider_fees", "ZAR"] == Decimal("-7.25")
    assert story.cases() == ["fee_changed"]


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
    assert story.status(deposit) == "pending"


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
