"""Creating the payout that a withdrawal is paid by; creating moves nothing."""

from typing import Final

from octoco.clock import Clock
from octoco.intents import Done, Intent
from payments_gateway.domain.bank_accounts import BankAccount
from payments_gateway.domain.cases import Case, CaseKind
from payments_gateway.domain.errors import ProviderRefused
from payments_gateway.domain.payouts import PayoutStatus
from payments_gateway.domain.provider import BankDestination, Merchant, PayoutOrder, PayoutReading
from payments_gateway.messages.outbound import reason_code
from payments_gateway.use_cases.fail_payout import fail_payout
from payments_gateway.use_cases.ports import PaymentProvider, Unit
from payments_gateway.use_cases.record_payout_reading import adopt_payout
from payments_gateway.use_cases.request_payout import obstacle_to_paying


class CreatePayout:
    """Asks the provider to prepare a payout.

    Asking again after a lost answer prepares one more, which stays untouched: exactly one is
    stored with the withdrawal, and only that one may ever be executed.
    """

    schedule_seconds: Final = (2.0, 5.0, 15.0, 60.0, 300.0, 900.0)

    def __init__(self, *, provider: PaymentProvider, ours: Merchant, clock: Clock) -> None:
        self._provider = provider
        self._ours = ours
        self._clock = clock

    def prepare(self, unit: Unit, intent: Intent) -> PayoutOrder | None:
        payout = unit.payouts.lock(intent.subject_id)
        if payout is None or payout.status is not PayoutStatus.REQUESTED:
            return None
        bank_account = unit.bank_accounts.find(payout.bank_account_id)
        obstacle = obstacle_to_paying(bank_account, user_id=payout.user_id)
        if obstacle is not None or bank_account is None:
            fail_payout(
                unit,
                payout,
                reason_code=obstacle or "bank_account_not_found",
                now=self._clock.now(),
            )
            return None
        user = unit.users.find(payout.user_id)
        # The request was parked until the user was known, and users are never forgotten.
        assert user is not None
        return PayoutOrder(
            reference=payout.transaction_id,
            money=payout.money,
            email=user.email,
            full_name=user.full_name,
            destination=destination_of(bank_account),
        )

    def call(self, prepared: PayoutOrder) -> PayoutReading | ProviderRefused:
        try:
            return self._provider.create_payout(prepared)
        except ProviderRefused as refused:
            return refused

    def record(
        self,
        unit: Unit,
        intent: Intent,
        *,
        prepared: PayoutOrder,
        answer: PayoutReading | ProviderRefused,
    ) -> Done:
        payout = unit.payouts.lock(intent.subject_id)
        if payout is None or payout.status is not PayoutStatus.REQUESTED:
            # Cancelled meanwhile, or a webhook was quicker: this one stays untouched.
            return Done()
        now = self._clock.now()
        if isinstance(answer, ProviderRefused):
            code = reason_code(answer.provider_code)
            fail_payout(unit, payout, reason_code=code, now=now)
            return Done()
        differs_in = answer.merchant.difference_to(self._ours)
        if differs_in is None and answer.amount != prepared.money:
            differs_in = "amount"
        if differs_in is not None:
            kind = CaseKind.AMOUNT_DIFFERS if differs_in == "amount" else CaseKind.NOT_OUR_MERCHANT
            evidence = {"differs_in": differs_in, "at": "creation"}
            unit.cases.open(
                Case(
                    kind,
                    answer.payout_id,
                    now,
                    transaction_id=payout.transaction_id,
                    money=answer.amount,
                    evidence=evidence,
                )
            )
            fail_payout(unit, payout, reason_code="provider_mismatch", now=now)
            return Done()
        adopt_payout(unit, payout, answer)
        return Done()


def destination_of(bank_account: BankAccount) -> BankDestination:
    details = bank_account.details
    return BankDestination(
        account_holder=details.account_holder,
        bank_name=details.bank_name,
        branch_code=details.branch_code,
        account_number=details.account_number,
        account_type=details.account_type.value,
    )
