"""Adjustments in memory, held to the rules that the database keeps."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from octoco.money import Money
from wallet.adapters.memory_ledger import MemoryLedger
from wallet.domain.adjustments import Adjustment, AdjustmentStatus
from wallet.domain.errors import (
    AdjustmentAlreadyDecided,
    AdjustmentNeedsTwoPeople,
    AdjustmentNotFound,
    OwnAdjustment,
)

# The database takes its own clock; nothing here depends on what it says.
_AT: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class MemoryAdjustments:
    """See `wallet.use_cases.operator_ports.Adjustments`.

    Args:
        ledger: Books what is approved.
    """

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self.stored: dict[str, Adjustment] = {}

    def request(
        self, *, adjustment_id: str, user_id: str, money: Money, reason: str, operator_id: str
    ) -> Adjustment:
        if operator_id == user_id:
            raise OwnAdjustment("Nobody asks for or decides about their own money.")
        return self.stored.setdefault(
            adjustment_id,
            Adjustment(
                id=adjustment_id,
                user_id=user_id,
                money=money,
                reason=reason,
                requested_by=operator_id,
                requested_at=_AT,
                status=AdjustmentStatus.OPEN,
            ),
        )

    def decide(
        self, *, adjustment_id: str, operator_id: str, approve: bool, reason: str
    ) -> Adjustment:
        adjustment = self.stored.get(adjustment_id)
        decision = AdjustmentStatus.APPROVED if approve else AdjustmentStatus.REFUSED
        if adjustment is None:
            raise AdjustmentNotFound("There is no such adjustment.")
        if adjustment.user_id == operator_id:
            raise OwnAdjustment("Nobody asks for or decides about their own money.")
        if adjustment.requested_by == operator_id:
            raise AdjustmentNeedsTwoPeople("Somebody else has to decide what you asked for.")
        if adjustment.status is not AdjustmentStatus.OPEN:
            if (adjustment.status, adjustment.decided_by) != (decision, operator_id):
                raise AdjustmentAlreadyDecided("This adjustment was decided already.")
            return adjustment
        if approve:
            self._ledger.adjust(
                adjustment_id=adjustment_id, user_id=adjustment.user_id, money=adjustment.money
            )
        self.stored[adjustment_id] = replace(
            adjustment,
            status=decision,
            decided_by=operator_id,
            decided_at=_AT,
            decision_reason=reason,
        )
        return self.stored[adjustment_id]

    def find(self, adjustment_id: str) -> Adjustment | None:
        return self.stored.get(adjustment_id)

    def page(
        self, *, status: AdjustmentStatus | None, before_id: str | None, limit: int
    ) -> Sequence[Adjustment]:
        found = [
            one
            for one in self.stored.values()
            if status in (None, one.status) and (before_id is None or one.id < before_id)
        ]
        return sorted(found, key=lambda one: one.id, reverse=True)[:limit]
