"""The gateway on fakes: a user, a clock that stands still, and intents performed by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

from octoco.clock import FixedClock
from octoco.errors import Unavailable
from octoco.ids import new_id
from octoco.intents import Again, Done, Intent, IntentHandler
from octoco.money import Money
from octoco.testing import FakeUnitsOfWork
from payments_gateway.adapters.format_verification import FormatVerification
from payments_gateway.adapters.in_memory.provider import FakeProvider
from payments_gateway.adapters.in_memory.stores import MemoryUnit
from payments_gateway.domain.bank_accounts import BankAccount, bank_account_details
from payments_gateway.domain.checkouts import Checkout
from payments_gateway.domain.payouts import Payout
from payments_gateway.domain.policy import Policy
from payments_gateway.domain.provider import Merchant
from payments_gateway.messages.inbound import (
    DepositCancelRequested,
    DepositRequested,
    UserRegistered,
    WithdrawalCancelRequested,
    WithdrawalRequested,
)
from payments_gateway.use_cases.add_bank_account import AddBankAccount
from payments_gateway.use_cases.cancel_payout import cancel_payout
from payments_gateway.use_cases.cancel_purchase import CancelPurchase
from payments_gateway.use_cases.create_payout import CreatePayout
from payments_gateway.use_cases.create_purchase import CreatePurchase
from payments_gateway.use_cases.execute_payout import ExecutePayout
from payments_gateway.use_cases.poll_payout import PollPayout
from payments_gateway.use_cases.poll_purchase import PollPurchase
from payments_gateway.use_cases.process_webhook import ProcessWebhook
from payments_gateway.use_cases.remember_user import remember_user
from payments_gateway.use_cases.repeat_money_fact import RepeatMoneyFact
from payments_gateway.use_cases.request_checkout import (
    request_checkout,
    request_checkout_cancellation,
)
from payments_gateway.use_cases.request_payout import request_payout

START = datetime(2026, 9, 21, 12, 0, tzinfo=UTC)
OURS = Merchant(company_id="company-1", brand_id="brand-1", is_test=True)
R250 = Money.parse("250.00", "ZAR")
R100 = Money.parse("100.00", "ZAR")


class World:
    """Everything that a unit test of the gateway moves."""

    def __init__(self) -> None:
        self.clock = FixedClock(START)
        self.policy = Policy()
        self.unit = MemoryUnit()
        self.units = FakeUnitsOfWork(self.unit)
        self.provider = FakeProvider(merchant=OURS, clock=self.clock)
        self.user_id = new_id("usr")
        self.attempts: dict[tuple[str, str], int] = {}
        self.created: dict[tuple[str, str], datetime] = {}
        common: dict[str, Any] = {
            "provider": self.provider,
            "ours": OURS,
            "clock": self.clock,
            "policy": self.policy,
        }
        self.handlers: dict[str, IntentHandler[MemoryUnit, Any, Any]] = {
            "create_purchase": CreatePurchase(**common),
            "cancel_purchase": CancelPurchase(**common),
            "poll_purchase": PollPurchase(**common),
            "process_webhook": ProcessWebhook(**common),
            "poll_payout": PollPayout(**common),
            "create_payout": CreatePayout(provider=self.provider, ours=OURS, clock=self.clock),
            "execute_payout": ExecutePayout(
                provider=self.provider, clock=self.clock, policy=self.policy
            ),
            "repeat_money_fact": RepeatMoneyFact(clock=self.clock, policy=self.policy),
        }

    def know_user(self) -> None:
        registered = UserRegistered(self.user_id, "thandi@example.com", "Thandi Nkosi", START)
        self.units.run(lambda unit: remember_user(unit, registered))

    def pass_time(self, **by: float) -> None:
        self.clock.advance(timedelta(**by))

    def intent(self, kind: str, subject_id: str) -> Intent:
        assert (kind, subject_id) in self.unit.intents.stored, f"no intent {kind} {subject_id}"
        key = (kind, subject_id)
        self.attempts[key] = self.attempts.get(key, 0) + 1
        created_at = self.created.setdefault(key, self.clock.now())
        return Intent(kind, subject_id, {}, self.attempts[key], created_at, self.clock.now())

    def perform(self, kind: str, subject_id: str) -> Done | Again:
        """Do what the executor does with one intent, once."""
        handler = self.handlers[kind]
        intent = self.intent(kind, subject_id)
        prepared = self.units.run(lambda unit: handler.prepare(unit, intent))
        if prepared is None:
            return Done()
        try:
            answer = handler.call(prepared)
        except Unavailable as error:
            return Again(reason=error.message)
        return self.units.run(
            lambda unit: handler.record(unit, intent, prepared=prepared, answer=answer)
        )

    def die_after_prepare(self, kind: str, subject_id: str) -> None:
        """Let the process die between the mark and the call."""
        intent = self.intent(kind, subject_id)
        self.units.run(lambda unit: self.handlers[kind].prepare(unit, intent))

    def die_after_call(self, kind: str, subject_id: str) -> None:
        """Let the process die between the call and the record of its answer."""
        intent = self.intent(kind, subject_id)
        prepared = self.units.run(lambda unit: self.handlers[kind].prepare(unit, intent))
        assert prepared is not None
        self.handlers[kind].call(prepared)

    # Deposits.

    def request_deposit(self, money: Money = R250, transaction_id: str | None = None) -> str:
        request = DepositRequested(transaction_id or new_id("txn"), self.user_id, money)
        self.units.run(lambda unit: request_checkout(unit, request, now=self.clock.now()))
        return request.transaction_id

    def cancel_deposit(self, transaction_id: str) -> None:
        request = DepositCancelRequested(transaction_id, self.user_id)
        self.units.run(
            lambda unit: request_checkout_cancellation(unit, request, now=self.clock.now())
        )

    def open_checkout(self) -> tuple[str, str]:
        """Return the ids of a deposit and of the purchase that its user was sent to."""
        transaction_id = self.request_deposit()
        assert self.perform("create_purchase", transaction_id) == Done()
        purchase_id = self.checkout(transaction_id).purchase_id
        assert purchase_id is not None
        return transaction_id, purchase_id

    def checkout(self, transaction_id: str) -> Checkout:
        found = self.unit.checkouts.find(transaction_id)
        assert found is not None
        return found

    # Withdrawals.

    def add_bank_account(self, user_id: str | None = None) -> BankAccount:
        add = AddBankAccount(
            units=self.units,
            verification=FormatVerification(),
            clock=self.clock,
            policy=self.policy,
        )
        details = bank_account_details(
            account_holder="Thandi Nkosi",
            bank_name="First Bank",
            branch_code="250655",
            account_number="62000000001",
            account_type="cheque",
        )
        return add(user_id=user_id or self.user_id, details=details)

    def request_withdrawal(
        self, bank_account_id: str | None = None, transaction_id: str | None = None
    ) -> str:
        if bank_account_id is None:
            bank_account_id = self.add_bank_account().bank_account_id
        request = WithdrawalRequested(
            transaction_id or new_id("txn"), self.user_id, bank_account_id, R100
        )
        self.units.run(lambda unit: request_payout(unit, request, now=self.clock.now()))
        return request.transaction_id

    def cancel_withdrawal(self, transaction_id: str) -> None:
        request = WithdrawalCancelRequested(transaction_id, self.user_id)
        self.units.run(lambda unit: cancel_payout(unit, request, now=self.clock.now()))

    def created_payout(self) -> tuple[str, str]:
        """Return the ids of a withdrawal and of its payout, not executed yet."""
        transaction_id = self.request_withdrawal()
        assert self.perform("create_payout", transaction_id) == Done()
        payout_id = self.payout(transaction_id).payout_id
        assert payout_id is not None
        return transaction_id, payout_id

    def execute(self, transaction_id: str) -> None:
        """Look at the float, then give the order."""
        assert isinstance(self.perform("execute_payout", transaction_id), Again)
        assert self.perform("execute_payout", transaction_id) == Done()

    def executed_payout(self) -> tuple[str, str]:
        transaction_id, payout_id = self.created_payout()
        self.execute(transaction_id)
        return transaction_id, payout_id

    def payout(self, transaction_id: str) -> Payout:
        found = self.unit.payouts.find(transaction_id)
        assert found is not None
        return found

    # What was said.

    def said(self, event_type: str) -> list[dict[str, object]]:
        return [message.to_data() for message in self.unit.outbox.of_type(event_type)]

    @property
    def said_types(self) -> list[str]:
        return [
            message.TYPE
            for message in self.unit.outbox.messages
            if not message.TYPE.startswith("payments.bank_account.")
        ]
