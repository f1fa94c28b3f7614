"""Looking at a purchase on a schedule: webhooks may be late, lost or never sent."""

from datetime import datetime
from typing import Final

from octoco.clock import Clock
from octoco.intents import Again, Done, Intent
from payments_gateway.domain.cases import Case, CaseKind
from payments_gateway.domain.policy import Policy
from payments_gateway.domain.provider import Merchant, PurchaseReading, PurchaseState
from payments_gateway.use_cases.ports import PaymentProvider, Unit
from payments_gateway.use_cases.record_purchase_reading import record_purchase_reading


class PollPurchase:
    """Looks seldomer the older the purchase is, at its expiry, and for a while after its end.

    Money that was on its way may still come.
    """

    schedule_seconds: Final = (10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)

    def __init__(
        self, *, provider: PaymentProvider, ours: Merchant, clock: Clock, policy: Policy
    ) -> None:
        self._provider = provider
        self._ours = ours
        self._clock = clock
        self._policy = policy

    def prepare(self, unit: Unit, intent: Intent) -> str | None:
        purchase = unit.purchases.find(intent.subject_id)
        if purchase is None or purchase.state.money_came_in:
            return None
        return purchase.purchase_id

    def call(self, prepared: str) -> PurchaseReading | None:
        return self._provider.read_purchase(prepared)

    def record(
        self, unit: Unit, intent: Intent, *, prepared: str, answer: PurchaseReading | None
    ) -> Done | Again:
        now = self._clock.now()
        if answer is None:
            unit.cases.open(Case(CaseKind.OBJECT_NOT_FOUND, prepared, now))
        else:
            record_purchase_reading(unit, answer, ours=self._ours, policy=self._policy, now=now)
        purchase = unit.purchases.find(prepared)
        assert purchase is not None
        if purchase.state.money_came_in:
            return Done()
        ends_at = purchase.expires_at or intent.created_at + self._policy.checkout_lifetime
        if now > ends_at + self._policy.late_money_watch:
            self._give_up(unit, prepared, state=purchase.state, now=now)
            return Done()
        wait = self._policy.next_look_after(
            since=intent.created_at, now=now, not_past=ends_at + self._policy.expiry_grace
        )
        return Again(reason=purchase.provider_status, after_seconds=wait)

    @staticmethod
    def _give_up(unit: Unit, purchase_id: str, *, state: PurchaseState, now: datetime) -> None:
        if state in (PurchaseState.UNDER_WAY, PurchaseState.UNKNOWN):
            evidence = {"state": state.value}
            unit.cases.open(Case(CaseKind.PURCHASE_STUCK, purchase_id, now, evidence=evidence))
