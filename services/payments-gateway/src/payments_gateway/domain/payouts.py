"""A payout: one withdrawal's way through the provider, in two steps of which the second pays."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from octoco.context import WorkContext
from octoco.money import Money
from octoco.transitions import TransitionTable
from payments_gateway.domain.provider import Attempt, PayoutReading, PayoutState
from payments_gateway.domain.sensitive import SensitiveText


class PayoutStatus(StrEnum):
    REQUESTED = "requested"
    CREATED = "created"
    # Execution was ordered; until the provider shows more, nobody knows whether it happened.
    EXECUTING = "executing"
    ACCEPTED = "accepted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


# Success may follow anything: what the bank has paid is a fact, and a case where it surprises.
PAYOUT_MOVES = TransitionTable(
    {
        PayoutStatus.REQUESTED: {
            PayoutStatus.CREATED,
            PayoutStatus.FAILED,
            PayoutStatus.CANCELLED,
        },
        # Straight to ACCEPTED or beyond only if somebody else ordered the execution.
        PayoutStatus.CREATED: {
            PayoutStatus.EXECUTING,
            PayoutStatus.ACCEPTED,
            PayoutStatus.SUCCEEDED,
            PayoutStatus.FAILED,
            PayoutStatus.CANCELLED,
        },
        PayoutStatus.EXECUTING: {
            PayoutStatus.ACCEPTED,
            PayoutStatus.SUCCEEDED,
            PayoutStatus.FAILED,
        },
        PayoutStatus.ACCEPTED: {PayoutStatus.SUCCEEDED, PayoutStatus.FAILED},
        PayoutStatus.FAILED: {PayoutStatus.SUCCEEDED},
        PayoutStatus.CANCELLED: {PayoutStatus.SUCCEEDED},
        PayoutStatus.SUCCEEDED: set(),
    }
)


@dataclass(frozen=True, slots=True)
class Payout:
    """One withdrawal that the wallet asked us to pay out.

    Args:
        transaction_id: The wallet's withdrawal; our reference at the provider.
        payout_id: The one payout that may ever be executed for it; None until created.
        execution_url: Where to order its execution; a secret.
        float_confirmed_at: When the provider last showed enough money for it, UTC.
        execution_begun_at: Set, for ever, before the order to execute leaves. From then on the
            order is never given again and the withdrawal cannot be cancelled.
        execution_answer: What the provider said to the order, as evidence for a person.
        settled_at: When it came to its present end, UTC; None before.
        origin: The work that asked for it; whatever moves it on goes on with that. None if it is
            not known.
    """

    transaction_id: str
    user_id: str
    bank_account_id: str
    money: Money
    status: PayoutStatus
    created_at: datetime
    payout_id: str | None = None
    execution_url: SensitiveText | None = None
    float_confirmed_at: datetime | None = None
    execution_begun_at: datetime | None = None
    execution_answer: str | None = None
    settled_at: datetime | None = None
    reason_code: str | None = None
    origin: WorkContext | None = field(default=None, compare=False)

    @property
    def may_be_cancelled(self) -> bool:
        return self.execution_begun_at is None and self.status in (
            PayoutStatus.REQUESTED,
            PayoutStatus.CREATED,
        )

    def moved_to(self, status: PayoutStatus) -> "Payout":
        PAYOUT_MOVES.require(self.status, status)
        return replace(self, status=status)

    def settled_as(
        self, status: PayoutStatus, *, at: datetime, reason_code: str | None = None
    ) -> "Payout":
        return replace(self.moved_to(status), settled_at=at, reason_code=reason_code)


class PayoutOutcome(StrEnum):
    """What a reading settles."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PENDING = "pending"
    # The provider has the payout but shows no try at executing it.
    NOT_BEGUN = "not_begun"
    # The provider reports something from which nobody can tell whether money moved.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AttemptCodes:
    """Which codes of a failed attempt are an answer. Every other code means "unknown".

    Args:
        refusing: Codes by which the provider says that no money moved and none will.
        refusing_prefixes: The same, for whole families of codes.
    """

    refusing: frozenset[str] = field(default_factory=frozenset)
    refusing_prefixes: tuple[str, ...] = ()

    def refuses(self, code: str | None) -> bool:
        if not code:
            return False
        return code in self.refusing or code.startswith(self.refusing_prefixes)


# The provider's listed codes, without the family that means "nobody answered in time".
# Source: the platform's catalogue of attempt codes; `timeout*` and `*_connection_error` are left
# out on purpose, and so is everything that the catalogue does not list.
ATTEMPT_CODES = AttemptCodes(
    refusing=frozenset(
        {
            "3ds_authentication_failed",
            "acquirer_configuration_error",
            "acquirer_internal_error",
            "antifraud_general",
            "authorization_failed",
            "blacklisted_tx",
            "do_not_honour",
            "exceeded_account_limit",
            "exceeded_acquirer_refund_amount",
            "exceeds_frequency_limit",
            "exceeds_withdrawal_limit",
            "expired_card",
            "general_transaction_error",
            "insufficient_funds",
            "invalid_amount",
            "invalid_card_number",
            "invalid_expires",
            "issuer_not_available",
            "lost_card",
            "no_matching_terminal",
            "payment_expired",
            "payment_rejected_other_reason",
            "recurring_token_expired",
            "restricted_card",
            "s2s_not_supported",
            "stolen_card",
            "suspected_fraud",
            "unknown_payment_method",
            "user_cancelled",
        }
    ),
    refusing_prefixes=("validation_",),
)


def outcome_of(reading: PayoutReading, *, codes: AttemptCodes = ATTEMPT_CODES) -> PayoutOutcome:
    """Say what a reading of a payout settles.

    An error is final for us only if its newest attempt failed with a code that is an answer: the
    provider could execute such a payout again, we never do.
    """
    match reading.state:
        case PayoutState.SUCCEEDED:
            return PayoutOutcome.SUCCEEDED
        case PayoutState.PENDING:
            return PayoutOutcome.PENDING
        case PayoutState.INITIALIZED:
            return PayoutOutcome.UNKNOWN if reading.attempts else PayoutOutcome.NOT_BEGUN
        case PayoutState.ERROR:
            newest = newest_attempt(reading.attempts)
            refused = newest is not None and not newest.successful
            if refused and newest is not None and codes.refuses(newest.error_code):
                return PayoutOutcome.FAILED
            return PayoutOutcome.UNKNOWN
        case PayoutState.UNKNOWN:
            return PayoutOutcome.UNKNOWN


def newest_attempt(attempts: tuple[Attempt, ...]) -> Attempt | None:
    return attempts[0] if attempts else None
