"""Ordering a payout to be executed: the one step that moves money out, taken at most once."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from octoco.clock import Clock
from octoco.errors import Unavailable
from octoco.intents import Again, Done, Intent
from octoco.money import Money
from payments_gateway.domain.cases import Case, CaseKind
from payments_gateway.domain.payouts import Payout, PayoutStatus
from payments_gateway.domain.policy import Policy
from payments_gateway.domain.provider import BankDestination, ExecutionAnswer, PayoutState
from payments_gateway.domain.sensitive import SensitiveText
from payments_gateway.messages.outbound import reason_code
from payments_gateway.use_cases.create_payout import destination_of
from payments_gateway.use_cases.fail_payout import fail_payout
from payments_gateway.use_cases.ports import PaymentProvider, Unit
from payments_gateway.use_cases.record_payout_reading import POLL_PAYOUT
from payments_gateway.use_cases.request_payout import obstacle_to_paying

# A process that slept longer than this between the mark and the order does not give it any more.
ORDER_WITHIN: Final = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class LookAtFloat:
    """The provider's balance is to be looked at before execution is marked begun."""

    currency: str


@dataclass(frozen=True, slots=True)
class Execute:
    """Execution is marked begun; the order is to be given now or never."""

    payout_id: str
    execution_url: SensitiveText
    destination: BankDestination
    order_before: datetime


class ExecutePayout:
    """Looks at the float, marks execution begun, and gives the order once.

    The mark commits before the order leaves. Whatever happens after it (no answer, a late one, a
    process that dies) the order is never given again: the payout is looked at until known.
    """

    schedule_seconds: Final = (5.0, 15.0, 60.0, 300.0, 900.0)

    def __init__(self, *, provider: PaymentProvider, clock: Clock, policy: Policy) -> None:
        self._provider = provider
        self._clock = clock
        self._policy = policy

    def prepare(self, unit: Unit, intent: Intent) -> LookAtFloat | Execute | None:
        payout = unit.payouts.lock(intent.subject_id)
        if payout is None:
            return None
        if payout.status is not PayoutStatus.CREATED or payout.execution_begun_at is not None:
            unit.intents.hurry(kind=POLL_PAYOUT, subject_id=intent.subject_id)
            return None
        now = self._clock.now()
        bank_account = unit.bank_accounts.find(payout.bank_account_id)
        obstacle = obstacle_to_paying(bank_account, user_id=payout.user_id)
        if obstacle is not None or bank_account is None:
            reason = obstacle or "bank_account_not_found"
            fail_payout(unit, payout, reason_code=reason, now=now)
            return None
        if not self._float_is_fresh(payout, now):
            return LookAtFloat(payout.money.currency)
        return self._begin(unit, payout, destination_of(bank_account), now=now)

    def call(self, prepared: LookAtFloat | Execute) -> Money | ExecutionAnswer:
        if isinstance(prepared, LookAtFloat):
            return self._provider.payout_float(prepared.currency)
        if self._clock.now() >= prepared.order_before:
            return ExecutionAnswer(PayoutState.UNKNOWN, "not_ordered_in_time")
        try:
            return self._provider.execute_payout(
                payout_id=prepared.payout_id,
                execution_url=prepared.execution_url,
                destination=prepared.destination,
            )
        except Unavailable as error:
            # No answer is no refusal: what became of it is the poll's to find out.
            return ExecutionAnswer(PayoutState.UNKNOWN, error.code)

    def record(
        self,
        unit: Unit,
        intent: Intent,
        *,
        prepared: LookAtFloat | Execute,  # noqa: ARG002 - the port's signature
        answer: Money | ExecutionAnswer,
    ) -> Done | Again:
        payout = unit.payouts.lock(intent.subject_id)
        assert payout is not None
        if isinstance(answer, Money):
            return self._record_float(unit, payout, available=answer)
        said = answer.said.value + (
            f": {reason_code(answer.error_code)}" if answer.error_code else ""
        )
        unit.payouts.save(replace(payout, execution_answer=said))
        unit.intents.hurry(kind=POLL_PAYOUT, subject_id=payout.transaction_id)
        return Done()

    def _begin(
        self, unit: Unit, payout: Payout, destination: BankDestination, *, now: datetime
    ) -> Execute:
        # A created payout has both: they are stored in one step.
        assert payout.payout_id is not None
        assert payout.execution_url is not None
        begun = replace(payout.moved_to(PayoutStatus.EXECUTING), execution_begun_at=now)
        unit.payouts.save(begun)
        # Stored with the mark, so that a process dying right here leaves someone who looks.
        first_look = now + self._policy.look_interval_min
        unit.intents.add(kind=POLL_PAYOUT, subject_id=payout.transaction_id, due_at=first_look)
        return Execute(
            payout_id=payout.payout_id,
            execution_url=payout.execution_url,
            destination=destination,
            order_before=now + ORDER_WITHIN,
        )

    def _float_is_fresh(self, payout: Payout, now: datetime) -> bool:
        confirmed_at = payout.float_confirmed_at
        return confirmed_at is not None and now - confirmed_at < self._policy.float_fresh_for

    def _record_float(self, unit: Unit, payout: Payout, *, available: Money) -> Again:
        now = self._clock.now()
        if available >= payout.money:
            unit.payouts.save(replace(payout, float_confirmed_at=now))
            return Again(reason="the float covers it", after_seconds=0)
        # The user did nothing wrong: the withdrawal waits and a person is told.
        unit.cases.open(
            Case(
                CaseKind.PAYOUT_FLOAT_SHORT,
                payout.transaction_id,
                now,
                transaction_id=payout.transaction_id,
                money=payout.money,
                evidence={"available": available.amount_text},
            )
        )
        wait = self._policy.float_wait.total_seconds()
        return Again(reason="the float is short", after_seconds=wait)
