"""Routes of operators who decide about withdrawals in review."""

# mypy: disable-error-code="untyped-decorator"
# flask-smorest publishes no types for its decorators.

from collections.abc import Callable
from typing import Any

from flask_smorest import Blueprint
from marshmallow import RAISE

from octoco.http import authenticated
from wallet.domain.transactions import Transaction
from wallet.entrypoints.http.admin.deciding import decide_once
from wallet.entrypoints.http.admin.documentation import IDEMPOTENCY_KEY
from wallet.entrypoints.http.admin.roles import DECIDERS, READERS
from wallet.entrypoints.http.admin.schemas import (
    DecisionRequestSchema,
    OperatorWithdrawalDetailSchema,
    OperatorWithdrawalSchema,
    ReviewPageSchema,
    ReviewQuerySchema,
    render_decisions,
    render_review,
)
from wallet.entrypoints.http.context import wallet
from wallet.entrypoints.http.paging import before_id_of, cursor_of
from wallet.entrypoints.http.schemas import render_timeline, render_transaction
from wallet.use_cases.review_withdrawal import (
    approve_withdrawal,
    get_withdrawal_for_operator,
    list_reviews,
    refuse_withdrawal,
)

admin_reviews = Blueprint(
    "reviews", __name__, url_prefix="/v1/admin", description="Withdrawals that wait for a decision"
)


@admin_reviews.get("/withdrawals")
@authenticated(role=READERS)
@admin_reviews.arguments(ReviewQuerySchema, location="query", unknown=RAISE)
@admin_reviews.response(200, ReviewPageSchema)
def withdrawals_in_review(query: dict[str, Any]) -> dict[str, Any]:
    """List the withdrawals in review, oldest first."""
    after_id = before_id_of(query.get("cursor"))
    page, next_after_id = wallet().units.read(
        lambda unit: list_reviews(unit, after_id=after_id, limit=query["limit"])
    )
    return {"items": [render_review(one) for one in page], "next_cursor": cursor_of(next_after_id)}


@admin_reviews.get("/withdrawals/<entity_id:transaction_id>")
@authenticated(role=READERS)
@admin_reviews.response(200, OperatorWithdrawalDetailSchema)
def withdrawal_for_operator(transaction_id: str) -> dict[str, Any]:
    """Show anybody's withdrawal with its history and what operators decided about it."""
    found, timeline, decisions = wallet().units.read(
        lambda unit: get_withdrawal_for_operator(unit, transaction_id=transaction_id)
    )
    return {
        **_render(found),
        "timeline": render_timeline(timeline),
        "decisions": render_decisions(decisions),
    }


@admin_reviews.post("/withdrawals/<entity_id:transaction_id>/approve")
@authenticated(role=DECIDERS)
@admin_reviews.doc(parameters=[IDEMPOTENCY_KEY])
@admin_reviews.arguments(DecisionRequestSchema)
@admin_reviews.response(200, OperatorWithdrawalSchema)
def withdrawal_approve(body: dict[str, str], transaction_id: str) -> dict[str, Any]:
    """Let a withdrawal in review go on; a repeat changes nothing."""
    return _decide(approve_withdrawal, body, transaction_id)


@admin_reviews.post("/withdrawals/<entity_id:transaction_id>/refuse")
@authenticated(role=DECIDERS)
@admin_reviews.doc(parameters=[IDEMPOTENCY_KEY])
@admin_reviews.arguments(DecisionRequestSchema)
@admin_reviews.response(200, OperatorWithdrawalSchema)
def withdrawal_refuse(body: dict[str, str], transaction_id: str) -> dict[str, Any]:
    """Give a withdrawal in review back to its user; a repeat changes nothing."""
    return _decide(refuse_withdrawal, body, transaction_id)


def _decide(
    use_case: Callable[..., Transaction], body: dict[str, str], transaction_id: str
) -> dict[str, Any]:
    decide_once(
        lambda unit, operator_id, at: (
            use_case(
                unit,
                operator_id=operator_id,
                transaction_id=transaction_id,
                reason=body["reason"],
                at=at,
            ).id
        )
    )
    found, _, _ = wallet().units.read(
        lambda unit: get_withdrawal_for_operator(unit, transaction_id=transaction_id)
    )
    return _render(found)


def _render(withdrawal: Transaction) -> dict[str, Any]:
    return {**render_transaction(withdrawal), "user_id": withdrawal.user_id}
