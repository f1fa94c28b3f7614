"""The bodies and queries of the operators' routes."""

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import Schema, fields, validate

from octoco.http.schemas import StrictSchema
from wallet.domain.operator_decisions import REASON_LENGTH_MAX, OperatorDecision
from wallet.entrypoints.http.schemas import (
    PAGE_LIMIT_DEFAULT,
    PAGE_LIMIT_MAX,
    TransactionDetailSchema,
    TransactionSchema,
    render_instant,
    render_transaction,
)
from wallet.use_cases.ports import WithdrawalInReview


class DecisionRequestSchema(StrictSchema):
    reason = fields.String(
        required=True,
        validate=validate.Length(min=1, max=REASON_LENGTH_MAX),
        metadata={"description": "Why, for those who look at it later; the user is not shown it."},
    )


class DecisionSchema(Schema):
    id = fields.String()
    at = fields.String(metadata={"format": "date-time"})
    operator_id = fields.String()
    action = fields.String(metadata={"example": "withdrawal_approved"})
    reason = fields.String()
    details = fields.Dict()


class ReviewQuerySchema(StrictSchema):
    status = fields.String(load_default="review", validate=validate.OneOf(["review"]))
    limit = fields.Integer(
        load_default=PAGE_LIMIT_DEFAULT, validate=validate.Range(min=1, max=PAGE_LIMIT_MAX)
    )
    cursor = fields.String(validate=validate.Length(min=1, max=200))


class OperatorWithdrawalSchema(TransactionSchema):
    user_id = fields.String()


class WithdrawalInReviewSchema(OperatorWithdrawalSchema):
    due_at = fields.String(metadata={"format": "date-time"})
    bank_account = fields.String(metadata={"description": "Its bank and masked number."})
    bank_account_usable = fields.Boolean()
    user_frozen = fields.Boolean()


class ReviewPageSchema(Schema):
    items = fields.List(fields.Nested(WithdrawalInReviewSchema))
    next_cursor = fields.String(allow_none=True)


class OperatorWithdrawalDetailSchema(TransactionDetailSchema):
    user_id = fields.String()
    decisions = fields.List(fields.Nested(DecisionSchema))


def render_review(review: WithdrawalInReview) -> dict[str, Any]:
    """Return a withdrawal in review as an operator is shown it."""
    withdrawal = review.withdrawal
    due_at = withdrawal.saga_step_due_at
    shown = {
        **render_transaction(withdrawal),
        "user_id": withdrawal.user_id,
        "due_at": due_at and render_instant(due_at),
        "bank_account": review.bank_account,
        "bank_account_usable": review.bank_account_usable,
        "user_frozen": review.user_frozen,
    }
    return {name: value for name, value in shown.items() if value is not None}


def render_decisions(decisions: Sequence[OperatorDecision]) -> list[Mapping[str, Any]]:
    """Return what operators decided, as operators are shown it."""
    return [
        {
            "id": decision.id,
            "at": render_instant(decision.at),
            "operator_id": decision.operator_id,
            "action": decision.action.value,
            "reason": decision.reason,
            "details": decision.details,
        }
        for decision in decisions
    ]
