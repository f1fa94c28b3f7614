"""Ask for money to be given to a user, or taken from them, by hand."""

from datetime import datetime

from octoco.ids import new_id
from octoco.money import InvalidAmount, Money
from wallet.domain.adjustments import Adjustment
from wallet.domain.errors import OwnAdjustment
from wallet.domain.operator_decisions import DecisionAction, OperatorDecision
from wallet.use_cases.ports import WalletUnit
from wallet.use_cases.require_operator import require_operator_not_frozen
from wallet.use_cases.require_user import require_user


def request_adjustment(
    unit: WalletUnit, *, operator_id: str, user_id: str, money: Money, reason: str, at: datetime
) -> Adjustment:
    """Store a request for an adjustment; nothing moves before somebody else has approved it.

    Args:
        unit: Open.
        operator_id: Who asks, from a verified token.
        user_id: Whose money it is.
        money: Above zero to give, below zero to take.
        reason: Why.
        at: Now, UTC.

    Returns:
        The request, open.

    Raises:
        InvalidAmount: the amount is zero.
        ReasonMissing: no reason is given, or too long a one.
        UserFrozen: the operator is frozen.
        OwnAdjustment: it is the operator's own money.
        UserNotFound: the wallet knows no such user.
    """
    if money.is_zero:
        raise InvalidAmount("The amount must not be zero.", field="amount")
    adjustment_id = new_id("adj")
    decision = OperatorDecision.made(
        operator_id=operator_id,
        action=DecisionAction.ADJUSTMENT_REQUESTED,
        subject=adjustment_id,
        reason=reason,
        at=at,
        details={"user_id": user_id, "amount": money.amount_text, "currency": money.currency},
    )
    require_operator_not_frozen(unit, operator_id)
    if operator_id == user_id:
        raise OwnAdjustment("Nobody asks for an adjustment of their own money.", field="user_id")
    require_user(unit, user_id, currency=money.currency)
    adjustment = unit.adjustments.request(
        adjustment_id=adjustment_id,
        user_id=user_id,
        money=money,
        reason=decision.reason,
        operator_id=operator_id,
    )
    unit.operator_decisions.add(decision)
    return adjustment
