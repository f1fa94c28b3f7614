"""Looking at a payout on a schedule until it is known what became of it."""

from typing import Final

from octoco.clock import Clock
from octoco.intents import Again, Done, Intent
from payments_gateway.domain.cases import Case, CaseKind
from payments_gateway.domain.payouts import Payout, PayoutStatus
from payments_gateway.domain.policy import Policy
from payments_gateway.domain.provider import Merchant, PayoutReading
from payments_gateway.use_cases.ports import PaymentProvider, Unit
from payments_gateway.use_cases.record_payout_reading import record_payout_reading


class PollPayout:
    """Looks seldomer the older the order is, and for a while after a failure too.

    A success may follow a failure; then a person must know.
    """

    schedule_seconds: Final = (5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)

    def __init__(
        self, *, provider: PaymentProvider, ours: Merchant, clock: Clock, policy: Policy
    ) -> None:
        self._provider = provider
        self._ours = ours
        self._clock = clock
        self._policy = policy

    def prepare(self, unit: Unit, intent: Intent) -> str | None:
        payout = unit.payouts.find(intent.subject_id)
        if payout is None or self._is_settled(payout):
            return None
        return payout.payout_id

    def call(self, prepared: str) -> PayoutReading | None:
        return self._provider.read_payout(prepared)

    def record(
        self, unit: Unit, intent: Intent, *, prepared: str, answer: PayoutReading | None
    ) -> Done | Again:
        now = self._clock.now()
        if answer is None:
            transaction_id = intent.subject_id
            unit.cases.open(
                Case(CaseKind.OBJECT_NOT_FOUND, prepared, now, transaction_id=transaction_id)
            )
            found = "not found"
        else:
            found = record_payout_reading(
                unit, answer, ours=self._ours, policy=self._policy, now=now
            )
        payout = unit.payouts.find(intent.subject_id)
        assert payout is not None
        if self._is_settled(payout):
            return Done()
        since = payout.settled_at or payout.execution_begun_at or intent.created_at
        return Again(reason=found, after_seconds=self._policy.next_look_after(since=since, now=now))

    def _is_settled(self, payout: Payout) -> bool:
        if payout.status in (PayoutStatus.SUCCEEDED, PayoutStatus.CANCELLED):
            return True
        if payout.status is not PayoutStatus.FAILED or payout.settled_at is None:
            return False
        return self._clock.now() - payout.settled_at > self._policy.late_money_watch
