"""Making a purchase unpayable: because its user gave up, or because it is a spare."""

from typing import Final

from octoco.clock import Clock
from octoco.intents import Again, Done, Intent
from payments_gateway.domain.policy import Policy
from payments_gateway.domain.provider import Merchant, PurchaseReading, PurchaseState
from payments_gateway.use_cases.ports import PaymentProvider, Unit
from payments_gateway.use_cases.record_purchase_reading import record_purchase_reading


class CancelPurchase:
    """Asks until the provider shows the purchase at an end; money that came first stays in."""

    schedule_seconds: Final = (2.0, 10.0, 60.0, 300.0, 900.0, 3600.0)

    def __init__(
        self, *, provider: PaymentProvider, ours: Merchant, clock: Clock, policy: Policy
    ) -> None:
        self._provider = provider
        self._ours = ours
        self._clock = clock
        self._policy = policy

    def prepare(self, unit: Unit, intent: Intent) -> str | None:
        purchase = unit.purchases.find(intent.subject_id)
        if purchase is None or purchase.state in _ENDED:
            return None
        return purchase.purchase_id

    def call(self, prepared: str) -> PurchaseReading | None:
        return self._provider.cancel_purchase(prepared)

    def record(
        self,
        unit: Unit,
        intent: Intent,
        *,
        prepared: str,  # noqa: ARG002 - the port's signature
        answer: PurchaseReading | None,
    ) -> Done | Again:
        if answer is None:
            return Done()
        now = self._clock.now()
        record_purchase_reading(unit, answer, ours=self._ours, policy=self._policy, now=now)
        if answer.state in _ENDED or now - intent.created_at > self._policy.late_money_watch:
            return Done()
        return Again(reason=f"the purchase is {answer.provider_status}")


# An expired purchase takes no new payment, and whether one began earlier is the poll's to see.
_ENDED: Final = frozenset(
    {
        PurchaseState.CANCELLED,
        PurchaseState.EXPIRED,
        PurchaseState.BLOCKED,
        PurchaseState.PAID,
        PurchaseState.PAID_THEN_REVERSED,
    }
)
