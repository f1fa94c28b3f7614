"""A user's transaction, the statuses it may have, and the one table of its legal moves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from octoco.context import WorkContext
from octoco.money import Money
from octoco.transitions import TransitionTable
from wallet.domain.errors import AmountNotPositive


class TransactionKind(StrEnum):
    """What a user asked for."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"


class Status(StrEnum):
    """Where a transaction stands, as the API shows it."""

    PENDING = "pending"
    REVIEW = "review"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REFUNDED = "refunded"
    PARTIALLY_REFUNDED = "partially_refunded"
    REVERSED = "reversed"


_S = Status

# Money that came in is never refused: a deposit that ended without money may still complete. One
# that was paid with other money than was asked for waits in review for an operator. One that the
# payer's bank took back is `reversed`, until the chargeback is won.
LEGAL_MOVES: Final[Mapping[TransactionKind, TransitionTable[Status]]] = {
    TransactionKind.DEPOSIT: TransitionTable(
        {
            _S.PENDING: {_S.COMPLETED, _S.REVIEW, _S.FAILED, _S.CANCELLED, _S.EXPIRED},
            _S.REVIEW: {_S.COMPLETED, _S.FAILED},
            _S.FAILED: {_S.COMPLETED},
            _S.CANCELLED: {_S.COMPLETED},
            _S.EXPIRED: {_S.COMPLETED},
            _S.COMPLETED: {_S.PARTIALLY_REFUNDED, _S.REFUNDED, _S.REVERSED},
            _S.PARTIALLY_REFUNDED: {_S.REFUNDED, _S.REVERSED},
            _S.REFUNDED: set(),
            _S.REVERSED: {_S.COMPLETED, _S.PARTIALLY_REFUNDED},
        }
    ),
    TransactionKind.WITHDRAWAL: TransitionTable(
        {
            _S.REVIEW: {_S.PENDING, _S.FAILED, _S.CANCELLED},
            _S.PENDING: {_S.PROCESSING, _S.COMPLETED, _S.FAILED, _S.CANCELLED},
            _S.PROCESSING: {_S.COMPLETED, _S.FAILED},
            _S.COMPLETED: {_S.REVERSED},
            _S.FAILED: set(),
            _S.CANCELLED: set(),
            _S.REVERSED: set(),
        }
    ),
}


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """One line of a transaction's history.

    Args:
        status: The status from here on.
        at: When it happened, timezone-aware UTC.
        cause: What brought it about, such as `payments.deposit.paid`.
        detail: A code that says more, for people; no secrets.
    """

    status: Status
    at: datetime
    cause: str
    detail: str | None = None


@dataclass(slots=True, kw_only=True)
class Transaction:
    """A deposit or a withdrawal; every change of it leaves a line in `unsaved_events`.

    `origin` is the work that began it, which whatever moves it on goes on with.
    """

    id: str
    user_id: str
    kind: TransactionKind
    status: Status
    money: Money
    created_at: datetime
    updated_at: datetime
    checkout_url: str | None = None
    checkout_expires_at: datetime | None = None
    bank_account_id: str | None = None
    provider_id: str | None = None
    reason_code: str | None = None
    cancel_requested_at: datetime | None = None
    saga_step: str | None = None
    saga_step_at: datetime
    saga_step_due_at: datetime | None = None
    origin: WorkContext | None = field(default=None, compare=False)
    unsaved_events: list[TimelineEvent] = field(default_factory=list)

    @classmethod
    def requested(
        cls,
        *,
        id: str,
        user_id: str,
        kind: TransactionKind,
        money: Money,
        at: datetime,
        bank_account_id: str | None = None,
        status: Status = Status.PENDING,
        origin: WorkContext | None = None,
    ) -> "Transaction":
        """Start a transaction as its user asked for it, `pending` or in `review`.

        Raises:
            AmountNotPositive: there is nothing to move.
        """
        require_positive(money)
        transaction = cls(
            id=id,
            user_id=user_id,
            kind=kind,
            status=status,
            money=money,
            created_at=at,
            updated_at=at,
            bank_account_id=bank_account_id,
            saga_step_at=at,
            origin=origin,
        )
        transaction.note(at=at, cause="requested")
        return transaction

    def move_to(
        self, status: Status, *, at: datetime, cause: str, reason_code: str | None = None
    ) -> None:
        """Take a legal step and write it down.

        Raises:
            IllegalTransition: the table of legal moves does not have it.
        """
        LEGAL_MOVES[self.kind].require(self.status, status)
        self.status = status
        self.reason_code = reason_code
        self.note(at=at, cause=cause, detail=reason_code)

    def may_become(self, status: Status) -> bool:
        return LEGAL_MOVES[self.kind].allows(self.status, status)

    @property
    def waits_for_money(self) -> bool:
        """Whether money that comes in may still complete this deposit.

        One whose chargeback is won completes too, but by money that had come in before.
        """
        return self.may_become(Status.COMPLETED) and self.status is not Status.REVERSED

    def note(self, *, at: datetime, cause: str, detail: str | None = None) -> None:
        """Write down what happened while the status stays."""
        self.updated_at = at
        self.unsaved_events.append(TimelineEvent(self.status, at, cause, detail))


def require_positive(money: Money) -> None:
    """Let an amount above zero pass.

    Raises:
        AmountNotPositive: it is zero or below.
    """
    if not money.is_positive:
        raise AmountNotPositive("The amount must be above zero.", field="amount")
