"""Looking into a stored webhook: the object is read at the provider, and that is acted upon."""

from typing import Final

from octoco.clock import Clock
from octoco.intents import Again, Done, Intent
from payments_gateway.domain.cases import Case, CaseKind
from payments_gateway.domain.policy import Policy
from payments_gateway.domain.provider import Merchant, PayoutReading, PurchaseReading
from payments_gateway.domain.webhooks import WebhookObject, WebhookSummary
from payments_gateway.use_cases.ports import PaymentProvider, Unit
from payments_gateway.use_cases.record_money_gone_back import may_be_told, record_money_gone_back
from payments_gateway.use_cases.record_payout_reading import record_payout_reading
from payments_gateway.use_cases.record_purchase_reading import record_purchase_reading

# How often an object is read again that does not show yet what its event says.
CLAIM_ATTEMPTS_MAX: Final = 6

Reading = PurchaseReading | PayoutReading | None


class ProcessWebhook:
    """Reads what a delivery is about and records the reading. Its body moves nothing."""

    schedule_seconds: Final = (2.0, 5.0, 15.0, 60.0, 300.0, 900.0)

    def __init__(
        self, *, provider: PaymentProvider, ours: Merchant, clock: Clock, policy: Policy
    ) -> None:
        self._provider = provider
        self._ours = ours
        self._clock = clock
        self._policy = policy

    def prepare(self, unit: Unit, intent: Intent) -> WebhookSummary | None:
        delivery = unit.deliveries.find(intent.subject_id)
        if delivery is None or delivery.summary is None or delivery.outcome is not None:
            return None
        if delivery.summary.object is WebhookObject.OTHER:
            unit.deliveries.finish(
                delivery.delivery_id, outcome="uninteresting", at=self._clock.now()
            )
            return None
        return delivery.summary

    def call(self, prepared: WebhookSummary) -> Reading:
        if prepared.object is WebhookObject.PAYOUT:
            return self._provider.read_payout(prepared.object_id)
        if prepared.object is WebhookObject.PURCHASE:
            return self._provider.read_purchase(prepared.object_id)
        # A payment cannot be read by itself; its purchase can.
        if prepared.purchase_id is None:
            return None
        return self._provider.read_purchase(prepared.purchase_id)

    def record(
        self, unit: Unit, intent: Intent, *, prepared: WebhookSummary, answer: Reading
    ) -> Done | Again:
        now = self._clock.now()
        outcome = self._record_reading(unit, prepared, answer)
        if prepared.object is WebhookObject.PAYMENT:
            told = (
                outcome == "paid"
                and isinstance(answer, PurchaseReading)
                and record_money_gone_back(unit, prepared, answer, now=now)
            )
            may_lag = may_be_told(prepared) and intent.attempt < CLAIM_ATTEMPTS_MAX
            if not told and may_lag and outcome in {*_MAY_LAG, "paid"}:
                return Again(reason=f"{prepared.event_type} is not shown yet")
            if not told:
                self._open_reversed(unit, prepared)
        unconfirmed = (
            answer is not None and prepared.claims is not None and answer.state != prepared.claims
        )
        if unconfirmed and outcome in _MAY_LAG and intent.attempt < CLAIM_ATTEMPTS_MAX:
            return Again(reason=f"{prepared.event_type} is not shown yet")
        unit.deliveries.finish(intent.subject_id, outcome=outcome, at=now)
        return Done()

    def _open_reversed(self, unit: Unit, summary: WebhookSummary) -> None:
        evidence = {"event_type": summary.event_type, "purchase_id": summary.purchase_id}
        now = self._clock.now()
        unit.cases.open(
            Case(
                CaseKind.PURCHASE_REVERSED,
                summary.object_id,
                now,
                money=summary.went_back,
                evidence=evidence,
            )
        )

    def _record_reading(self, unit: Unit, summary: WebhookSummary, reading: Reading) -> str:
        now = self._clock.now()
        if reading is None:
            evidence = {"event_type": summary.event_type}
            unit.cases.open(
                Case(CaseKind.OBJECT_NOT_FOUND, summary.object_id, now, evidence=evidence)
            )
            return "not_found"
        if isinstance(reading, PayoutReading):
            return record_payout_reading(
                unit, reading, ours=self._ours, policy=self._policy, now=now
            )
        return record_purchase_reading(unit, reading, ours=self._ours, policy=self._policy, now=now)


# What a reading that lags behind its event may have been recorded as.
_MAY_LAG: Final = frozenset(
    {
        "accepted",
        "belongs_to_nobody",
        "not_begun",
        "nothing_new",
        "paid_without_payment",
        "spare",
        "still_open",
        "unknown",
    }
)
