"""Approve or refuse an adjustment that somebody else asked for."""

from datetime import datetime

from wallet.domain.adjustments import Adjustment, AdjustmentStatus
from wallet.domain.errors import AdjustmentNotFound, OwnAdjustment
from wallet.domain.operator_decisions import DecisionAction, OperatorDecision
from wallet.use_cases.ports import WalletUnit
from wallet.use_cases.require_operator import require_operator_not_frozen


def decide_adjustment(
    unit: WalletUnit,
    *,
    operator_id: str,
    adjustment_id: str,
    approve: bool,
    reason: str,
    at: datetime,
) -> Adjustment:
    """Decide once; an approval moves the money in the same unit.

    Money that is not there cannot be taken: such an approval is refused and the request stays
    open. The database keeps the four eyes; see sql/0001_ledger_adjustments.sql.

    Args:
        unit: Open.
        operator_id: Who decides, from a verified token; not who asked, nor whose
            money it is.
        adjustment_id: Which request.
        approve: True to move the money, False to turn it down.
        reason: Why.
        at: Now, UTC.

    Returns:
        The adjustment. A repeat of the same decision by the same operator changes nothing.

    Raises:
        ReasonMissing: no reason is given, or too long a one.
        UserFrozen: the operator is frozen.
        AdjustmentNotFound: there is no such request.
        OwnAdjustment: it is the operator's own money.
        AdjustmentNeedsTwoPeople: whoever asked may not decide.
        AdjustmentAlreadyDecided: somebody decided it, or it was decided otherwise.
        InsufficientFunds: less is available than is to be taken.
    """
    decision = OperatorDecision.made(
        operator_id=operator_id,
        action=(
            DecisionAction.ADJUSTMENT_APPROVED if approve else DecisionAction.ADJUSTMENT_REFUSED
        ),
        subject=adjustment_id,
        reason=reason,
        at=at,
    )
    require_operator_not_frozen(unit, operator_id)
    before = unit.adjustments.find(adjustment_id)
    if before is None:
        raise AdjustmentNotFound("There is no such adjustment.")
    if before.user_id == operator_id:
        raise OwnAdjustment("Nobody decides about their own money.")
    adjustment = unit.adjustments.decide(
        adjustment_id=adjustment_id,
        operator_id=operator_id,
        approve=approve,
        reason=decision.reason,
    )
    if before.status is AdjustmentStatus.OPEN:
        unit.operator_decisions.add(decision)
    return adjustment
