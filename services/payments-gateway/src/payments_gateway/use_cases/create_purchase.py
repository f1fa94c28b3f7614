"""Creating the purchase that a deposit is paid by."""

from typing import Final

from octoco.clock import Clock
from octoco.intents import Done, Intent
from payments_gateway.domain.cases import Case, CaseKind
from payments_gateway.domain.checkouts import Checkout, CheckoutStatus, Purchase
from payments_gateway.domain.errors import ProviderRefused
from payments_gateway.domain.policy import Policy
from payments_gateway.domain.provider import (
    Merchant,
    PurchaseOrder,
    PurchaseReading,
    PurchaseState,
)
from payments_gateway.messages.outbound import CheckoutClosed, reason_code
from payments_gateway.use_cases.ports import PaymentProvider, Unit
from payments_gateway.use_cases.record_purchase_reading import (
    POLL_PURCHASE,
    record_purchase_reading,
)
from payments_gateway.use_cases.request_checkout import CANCEL_PURCHASE

PROVIDER_MISMATCH: Final = "provider_mismatch"


class CreatePurchase:
    """Asks the provider for a purchase and opens the checkout with it.

    Asking again after a lost answer leaves a purchase more at the provider, which moves nothing:
    the first one that we learn of is adopted, any other is a spare and is cancelled.
    """

    schedule_seconds: Final = (2.0, 5.0, 15.0, 60.0, 300.0, 900.0)

    def __init__(
        self, *, provider: PaymentProvider, ours: Merchant, clock: Clock, policy: Policy
    ) -> None:
        self._provider = provider
        self._ours = ours
        self._clock = clock
        self._policy = policy

    def prepare(self, unit: Unit, intent: Intent) -> PurchaseOrder | None:
        checkout = unit.checkouts.lock(intent.subject_id)
        if checkout is None or not checkout.awaits_purchase:
            return None
        user = unit.users.find(checkout.user_id)
        # The request was parked until the user was known, and users are never forgotten.
        assert user is not None
        return PurchaseOrder(
            reference=checkout.transaction_id,
            money=checkout.money,
            email=user.email,
            full_name=user.full_name,
            expires_at=self._clock.now() + self._policy.checkout_lifetime,
        )

    def call(self, prepared: PurchaseOrder) -> PurchaseReading | ProviderRefused:
        try:
            return self._provider.create_purchase(prepared)
        except ProviderRefused as refused:
            return refused

    def record(
        self,
        unit: Unit,
        intent: Intent,
        *,
        prepared: PurchaseOrder,
        answer: PurchaseReading | ProviderRefused,
    ) -> Done:
        checkout = unit.checkouts.lock(intent.subject_id)
        assert checkout is not None
        if isinstance(answer, ProviderRefused):
            self._fail(unit, checkout, reason=reason_code(answer.provider_code))
            return Done()
        differs_in = answer.merchant.difference_to(self._ours)
        if differs_in is None and answer.asked != prepared.money:
            differs_in = "amount"
        if differs_in is not None:
            self._reject(unit, checkout, answer, differs_in=differs_in)
            return Done()
        record_purchase_reading(
            unit, answer, ours=self._ours, policy=self._policy, now=self._clock.now()
        )
        return Done()

    def _reject(
        self, unit: Unit, checkout: Checkout, reading: PurchaseReading, *, differs_in: str
    ) -> None:
        # Not what was ordered: nobody is sent there, and it is made unpayable. It belongs to no
        # transaction, so that money which comes in all the same goes to suspense.
        now = self._clock.now()
        if unit.purchases.find(reading.purchase_id) is None:
            unit.purchases.insert(
                Purchase(
                    purchase_id=reading.purchase_id,
                    transaction_id=None,
                    state=PurchaseState.UNKNOWN,
                    provider_status=reading.provider_status,
                    seen_at=reading.read_at,
                    expires_at=reading.expires_at,
                )
            )
        kind = CaseKind.AMOUNT_DIFFERS if differs_in == "amount" else CaseKind.NOT_OUR_MERCHANT
        unit.cases.open(
            Case(
                kind,
                reading.purchase_id,
                now,
                transaction_id=checkout.transaction_id,
                money=reading.asked,
                evidence={"differs_in": differs_in, "at": "creation"},
            )
        )
        unit.intents.add(kind=CANCEL_PURCHASE, subject_id=reading.purchase_id)
        first_look = now + self._policy.look_interval_min
        unit.intents.add(kind=POLL_PURCHASE, subject_id=reading.purchase_id, due_at=first_look)
        self._fail(unit, checkout, reason=PROVIDER_MISMATCH)

    def _fail(self, unit: Unit, checkout: Checkout, *, reason: str) -> None:
        if not checkout.awaits_purchase:
            return
        unit.checkouts.save(checkout.moved_to(CheckoutStatus.FAILED, reason_code=reason))
        unit.outbox.add(
            CheckoutClosed(
                transaction_id=checkout.transaction_id,
                purchase_id=None,
                status=CheckoutStatus.FAILED.value,
                reason_code=reason,
            )
        )
