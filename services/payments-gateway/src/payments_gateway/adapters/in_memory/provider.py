"""A payment provider in memory that keeps the same promises as the real one.

It passes the conformance suite that the adapter for Revio passes; unit tests make it misbehave.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from octoco.clock import Clock
from octoco.errors import Unavailable
from octoco.money import Money
from payments_gateway.domain.errors import ProviderRefused
from payments_gateway.domain.provider import (
    Attempt,
    BankDestination,
    ExecutionAnswer,
    Merchant,
    PayoutOrder,
    PayoutReading,
    PayoutState,
    PurchaseOrder,
    PurchaseReading,
    PurchaseState,
    RegisteredWebhook,
)
from payments_gateway.domain.sensitive import SensitiveText

_PAYABLE: Final = frozenset({PurchaseState.PAYABLE})


@dataclass
class FakeProvider:
    """See `payments_gateway.use_cases.ports.PaymentProvider`.

    Args:
        merchant: Whose everything is.
        clock: Stamps readings.
        lost_answers: How many of the next answers get lost after they took effect.
        refuse_with: Create calls are refused with this code.
        executions: The ids of executed payouts, in order; the test's witness.
    """

    merchant: Merchant
    clock: Clock
    lost_answers: int = 0
    refuse_with: str | None = None
    is_down: bool = False
    float_available: Money | None = None
    execution_says: PayoutState = PayoutState.PENDING
    execution_reaches_provider: bool = True
    purchases: dict[str, PurchaseReading] = field(default_factory=dict)
    payouts: dict[str, PayoutReading] = field(default_factory=dict)
    executions: list[str] = field(default_factory=list)
    hooks: list[RegisteredWebhook] = field(default_factory=list)
    public_key_pem: str = ""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def create_purchase(self, order: PurchaseOrder) -> PurchaseReading:
        self._be_there()
        if self.refuse_with is not None:
            raise ProviderRefused("No.", provider_code=self.refuse_with)
        purchase_id = f"purchase-{next(self._numbers)}"
        self.purchases[purchase_id] = PurchaseReading(
            purchase_id=purchase_id,
            reference=order.reference,
            state=PurchaseState.PAYABLE,
            provider_status="created",
            asked=order.money,
            paid=None,
            fee=None,
            paid_at=None,
            checkout_url=f"https://checkout.example/p/{purchase_id}/",
            expires_at=order.expires_at,
            attempts=(),
            merchant=self.merchant,
            read_at=self.clock.now(),
        )
        self._maybe_lose_answer()
        return self.purchases[purchase_id]

    def read_purchase(self, purchase_id: str) -> PurchaseReading | None:
        self._be_there()
        found = self.purchases.get(purchase_id)
        return None if found is None else replace(found, read_at=self.clock.now())

    def cancel_purchase(self, purchase_id: str) -> PurchaseReading | None:
        self._be_there()
        found = self.purchases.get(purchase_id)
        if found is not None and found.state in _PAYABLE:
            self.show_purchase(purchase_id, PurchaseState.CANCELLED)
        self._maybe_lose_answer()
        return self.read_purchase(purchase_id)

    def create_payout(self, order: PayoutOrder) -> PayoutReading:
        self._be_there()
        if self.refuse_with is not None:
            raise ProviderRefused("No.", provider_code=self.refuse_with)
        payout_id = f"payout-{next(self._numbers)}"
        self.payouts[payout_id] = PayoutReading(
            payout_id=payout_id,
            reference=order.reference,
            state=PayoutState.INITIALIZED,
            provider_status="initialized",
            amount=order.money,
            fee=None,
            paid_at=None,
            attempts=(),
            execution_url=SensitiveText(f"https://provider.example/po/{payout_id}/bank/"),
            merchant=self.merchant,
            read_at=self.clock.now(),
        )
        self._maybe_lose_answer()
        return self.payouts[payout_id]

    def execute_payout(
        self,
        *,
        payout_id: str,
        execution_url: SensitiveText,
        destination: BankDestination,  # noqa: ARG002 - no bank stands behind this provider
    ) -> ExecutionAnswer:
        if not self.execution_reaches_provider:
            raise Unavailable("no answer")
        self._be_there()
        payout = self.payouts[payout_id]
        assert payout.execution_url == execution_url
        if payout.state is not PayoutState.INITIALIZED:
            return ExecutionAnswer(PayoutState.ERROR, "wrong_status")
        self.executions.append(payout_id)
        code = "payment_rejected_other_reason" if self.execution_says is PayoutState.ERROR else None
        self.show_payout(payout_id, self.execution_says, error_code=code)
        self._maybe_lose_answer()
        return ExecutionAnswer(self.execution_says, code)

    def read_payout(self, payout_id: str) -> PayoutReading | None:
        self._be_there()
        found = self.payouts.get(payout_id)
        return None if found is None else replace(found, read_at=self.clock.now())

    def payout_float(self, currency: str) -> Money:
        self._be_there()
        return self.float_available or Money.parse("1000000", currency)

    def webhooks(self, callback_url: str) -> Sequence[RegisteredWebhook]:
        self._be_there()
        return [hook for hook in self.hooks if hook.callback_url == callback_url]

    def register_webhook(self, callback_url: str) -> RegisteredWebhook:
        self._be_there()
        hook = RegisteredWebhook(f"hook-{next(self._numbers)}", callback_url, self.public_key_pem)
        self.hooks.append(hook)
        self._maybe_lose_answer()
        return hook

    def show_purchase(
        self,
        purchase_id: str,
        state: PurchaseState,
        *,
        paid: Money | None = None,
        fee: Money | None = None,
        paid_at: datetime | None = None,
        refundable: Money | None = None,
    ) -> PurchaseReading:
        """Let a purchase be in a state from now on; what came in is what was asked if unsaid."""
        purchase = self.purchases[purchase_id]
        if state.money_came_in:
            paid, paid_at = paid or purchase.asked, paid_at or self.clock.now()
        self.purchases[purchase_id] = replace(
            purchase,
            state=state,
            provider_status=state.value,
            paid=paid,
            fee=fee,
            paid_at=paid_at,
            refundable=refundable,
        )
        return self.purchases[purchase_id]

    def fail_attempt(self, purchase_id: str, code: str) -> None:
        """Let a try at the checkout fail; the purchase stays payable."""
        purchase = self.purchases[purchase_id]
        failed = Attempt(successful=False, error_code=code)
        self.purchases[purchase_id] = replace(purchase, attempts=(failed, *purchase.attempts))

    def show_payout(
        self, payout_id: str, state: PayoutState, *, error_code: str | None = None
    ) -> PayoutReading:
        """Let a payout be in a state from now on, with a failed attempt if a code is given."""
        payout = self.payouts[payout_id]
        attempts = payout.attempts
        if state is PayoutState.ERROR:
            attempts = (Attempt(successful=False, error_code=error_code), *attempts)
        self.payouts[payout_id] = replace(
            payout, state=state, provider_status=state.value, attempts=attempts
        )
        return self.payouts[payout_id]

    def _be_there(self) -> None:
        if self.is_down:
            raise Unavailable("The provider is down.")

    def _maybe_lose_answer(self) -> None:
        if self.lost_answers:
            self.lost_answers -= 1
            raise Unavailable("The answer was lost.")
