"""What use cases ask of their unit of work for the sake of operators."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from octoco.money import Money
from wallet.domain.adjustments import Adjustment, AdjustmentStatus
from wallet.domain.money_facts import OperatorCase
from wallet.domain.operator_decisions import OperatorDecision


class OperatorCases(Protocol):
    def open(self, case: OperatorCase) -> bool:
        """Open a case, once for its kind and subject.

        Returns:
            False if it was there, which changes nothing.
        """
        ...

    def close(self, *, subject: str, by: str, reason: str, at: datetime) -> int:
        """Close every open case about a subject.

        Args:
            subject: What the cases are about: a fact's key, a transaction.
            by: The operator, or `wallet` where there is nothing left to decide.
            reason: Why, in words.
            at: Now, UTC.

        Returns:
            How many were closed; none on a repeat.
        """
        ...

    def count_open(self) -> Mapping[str, int]:
        """Count the open cases by kind."""
        ...


class OperatorDecisions(Protocol):
    """Append-only; there is no way to change or remove a decision."""

    def add(self, decision: OperatorDecision) -> None:
        """Keep a decision, in the unit of its effect.

        Raises:
            AssignmentNeedsTwoPeople: an assignment by, or to, who entered the money; or by who
                is given it.
        """
        ...

    def of_subject(self, subject: str) -> Sequence[OperatorDecision]:
        """Return what was decided about a subject, oldest first."""
        ...


class Adjustments(Protocol):
    """Kept by the database's own functions: they see to it that two people agreed."""

    def request(
        self, *, adjustment_id: str, user_id: str, money: Money, reason: str, operator_id: str
    ) -> Adjustment:
        """Store a request, once for its id.

        Raises:
            OwnAdjustment: it is the operator's own money.
            UnknownCurrency: the ledger does not know the currency.
            InvalidAmount: the amount is zero.
            LedgerAccountNotFound: the user has no accounts in the currency.
            BusinessKeyReused: the id was used for something else.
        """
        ...

    def decide(
        self, *, adjustment_id: str, operator_id: str, approve: bool, reason: str
    ) -> Adjustment:
        """Decide a request, once; an approval books it.

        Raises:
            AdjustmentNotFound: there is no such request.
            OwnAdjustment: it is the operator's own money.
            AdjustmentNeedsTwoPeople: the operator asked for it.
            AdjustmentAlreadyDecided: somebody decided it, or it was decided otherwise.
            InsufficientFunds: less is available than is to be taken; it stays open.
        """
        ...

    def find(self, adjustment_id: str) -> Adjustment | None: ...

    def page(
        self, *, status: AdjustmentStatus | None, before_id: str | None, limit: int
    ) -> Sequence[Adjustment]:
        """Return adjustments, newest first, that are older than `before_id`."""
        ...
