"""A user and their wallet on fakes, with the other services played by the test."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from octoco.clock import FixedClock
from octoco.events import Event
from octoco.ids import new_id
from octoco.money import Money
from octoco.testing import FakeUnitsOfWork
from wallet.domain.limits import Bounds, Limits
from wallet.domain.transactions import Transaction
from wallet.entrypoints.consumer import handlers
from wallet.use_cases.cancel_withdrawal import request_withdrawal_cancel
from wallet.use_cases.request_deposit import request_deposit
from wallet.use_cases.request_withdrawal import request_withdrawal

from .fakes import FakeWalletUnit, fake_units

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_TEXT = "2026-11-22T12:00:00Z"


def zar(amount: str) -> Money:
    return Money.parse(amount, "ZAR")


LIMITS = Limits(
    deposits=Bounds(per_transaction={"ZAR": zar("10000.00")}),
    withdrawals=Bounds(
        per_transaction={"ZAR": zar("500.00")},
        per_hour={"ZAR": 20},
        per_day={"ZAR": zar("800.00")},
        per_month={"ZAR": zar("2000.00")},
        review_above={"ZAR": zar("400.00")},
    ),
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

    def refund(
        self,
        amount: str = "250.00",
        *,
        payment_id: str = "r1",
        purchase_id: str = "p1",
        currency: str = "ZAR",
    ) -> dict[str, object]:
        self.deliver(
            "payments.refund.succeeded.v1",
            fact_key=f"refund:{payment_id}",
            payment_id=payment_id,
            purchase_id=purchase_id,
            transaction_id=None,
            amount=amount,
            currency=currency,
            refunded_at=NOW_TEXT,
        )
        return self.unit.last_answer()

    def charge_back(
        self, amount: str = "250.00", *, chargeback_id: str = "c1", purchase_id: str = "p1"
    ) -> dict[str, object]:
        self.deliver(
            "payments.chargeback.opened.v1",
            fact_key=f"chargeback:{chargeback_id}",
            chargeback_id=chargeback_id,
            purchase_id=purchase_id,
            transaction_id=None,
            amount=amount,
            currency="ZAR",
            opened_at=NOW_TEXT,
        )
        return self.unit.last_answer()

    def win_chargeback(
        self, amount: str = "250.00", *, chargeback_id: str = "c1", purchase_id: str = "p1"
    ) -> dict[str, object]:
        self.deliver(
            "payments.chargeback.reversed.v1",
            fact_key=f"chargeback_reversed:{chargeback_id}",
            chargeback_id=chargeback_id,
            purchase_id=purchase_id,
            transaction_id=None,
            amount=amount,
            currency="ZAR",
            reversed_at=NOW_TEXT,
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

    def cancel_in_review(self, withdrawal: Transaction) -> None:
        self.units.run(
            lambda unit: request_withdrawal_cancel(
                unit, user_id=self.user_id, transaction_id=withdrawal.id, at=self.clock.now()
            )
        )

    def freeze(self, *, at: str = NOW_TEXT) -> None:
        self.deliver("accounts.user.frozen.v1", user_id=self.user_id, frozen_at=at)

    def unfreeze(self, *, at: str = "2026-11-22T12:00:01Z") -> None:
        self.deliver("accounts.user.unfrozen.v1", user_id=self.user_id, unfrozen_at=at)

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

    def owed(self) -> str:
        (balance,) = self.unit.ledger.balances(user_id=self.user_id)
        return balance.receivable.amount_text

    def suspense(self) -> Decimal:
        return self.unit.ledger.system.get(("suspense", "ZAR"), Decimal(0))

    def cases(self) -> list[str]:
        return [kind for kind, _ in self.unit.operator_cases.opened]
