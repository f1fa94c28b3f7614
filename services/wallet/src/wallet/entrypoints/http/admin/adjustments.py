"""Routes of adjustments: one operator asks, another one decides."""

# mypy: disable-error-code="untyped-decorator"
# flask-smorest publishes no types for its decorators.

from typing import Any

from flask import url_for
from flask_smorest import Blueprint
from marshmallow import RAISE, Schema, fields, validate

from octoco.http import authenticated
from octoco.http.schemas import AmountField, CurrencyField, StrictSchema
from octoco.money import Money
from wallet.domain.adjustments import Adjustment, AdjustmentStatus
from wallet.domain.errors import AdjustmentNotFound
from wallet.domain.operator_decisions import REASON_LENGTH_MAX
from wallet.entrypoints.http.admin.deciding import decide_once
from wallet.entrypoints.http.admin.documentation import IDEMPOTENCY_KEY
from wallet.entrypoints.http.admin.roles import DECIDERS, READERS
from wallet.entrypoints.http.context import wallet
from wallet.entrypoints.http.paging import cursor_of, id_after
from wallet.entrypoints.http.schemas import PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, render_instant
from wallet.use_cases.decide_adjustment import decide_adjustment
from wallet.use_cases.list_for_operators import list_adjustments
from wallet.use_cases.request_adjustment import request_adjustment

Answer = tuple[dict[str, Any], int, dict[str, str]]
_STATUSES = [status.value for status in AdjustmentStatus]

admin_adjustments = Blueprint(
    "admin_adjustments",
    __name__,
    url_prefix="/v1/admin/adjustments",
    description="Money given or taken by hand, by two people's agreement",
)


class AdjustmentRequestSchema(StrictSchema):
    user_id = fields.String(required=True, validate=validate.Length(min=1, max=64))
    amount = AmountField(
        required=True,
        metadata={
            "type": "string",
            "example": "-25.00",
            "description": "Above zero is given to the user, below zero is taken from them.",
        },
    )
    currency = CurrencyField(required=True, metadata={"example": "ZAR"})
    reason = fields.String(required=True, validate=validate.Length(min=1, max=REASON_LENGTH_MAX))


class AdjustmentDecisionSchema(StrictSchema):
    reason = fields.String(required=True, validate=validate.Length(min=1, max=REASON_LENGTH_MAX))


class AdjustmentQuerySchema(StrictSchema):
    status = fields.String(validate=validate.OneOf(_STATUSES))
    limit = fields.Integer(
        load_default=PAGE_LIMIT_DEFAULT, validate=validate.Range(min=1, max=PAGE_LIMIT_MAX)
    )
    cursor = fields.String(validate=validate.Length(min=1, max=200))


class AdjustmentSchema(Schema):
    id = fields.String()
    user_id = fields.String()
    amount = fields.String(metadata={"example": "-25.00"})
    currency = fields.String()
    reason = fields.String()
    requested_by = fields.String()
    requested_at = fields.String(metadata={"format": "date-time"})
    status = fields.String(validate=validate.OneOf(_STATUSES))
    decided_by = fields.String(metadata={"description": "Like what follows: once decided."})
    decided_at = fields.String(metadata={"format": "date-time"})
    decision_reason = fields.String()


class AdjustmentPageSchema(Schema):
    items = fields.List(fields.Nested(AdjustmentSchema))
    next_cursor = fields.String(allow_none=True)


@admin_adjustments.post("")
@authenticated(role=DECIDERS)
@admin_adjustments.doc(parameters=[IDEMPOTENCY_KEY])
@admin_adjustments.arguments(AdjustmentRequestSchema)
@admin_adjustments.response(201, AdjustmentSchema)
def request_one(body: dict[str, str]) -> Answer:
    """Ask for an adjustment; somebody else has to decide it."""
    money = Money.parse(body["amount"], body["currency"])
    adjustment_id, repeated = decide_once(
        lambda unit, operator_id, at: (
            request_adjustment(
                unit,
                operator_id=operator_id,
                user_id=body["user_id"],
                money=money,
                reason=body["reason"],
                at=at,
            ).id
        )
    )
    return _shown(adjustment_id, 201, repeated=repeated)


@admin_adjustments.get("")
@authenticated(role=READERS)
@admin_adjustments.arguments(AdjustmentQuerySchema, location="query", unknown=RAISE)
@admin_adjustments.response(200, AdjustmentPageSchema)
def list_all(query: dict[str, Any]) -> dict[str, Any]:
    """List adjustments, newest first."""
    before_id = id_after(query.get("cursor"), prefix="adj")
    page, next_before_id = wallet().units.read(
        lambda unit: list_adjustments(
            unit,
            status=AdjustmentStatus(query["status"]) if "status" in query else None,
            before_id=before_id,
            limit=query["limit"],
        )
    )
    return {
        "items": [_render(adjustment) for adjustment in page],
        "next_cursor": cursor_of(next_before_id),
    }


@admin_adjustments.get("/<entity_id:adjustment_id>")
@authenticated(role=READERS)
@admin_adjustments.response(200, AdjustmentSchema)
def show(adjustment_id: str) -> dict[str, Any]:
    """Show an adjustment."""
    return _render(_find(adjustment_id))


@admin_adjustments.post("/<entity_id:adjustment_id>/approve")
@authenticated(role=DECIDERS)
@admin_adjustments.doc(parameters=[IDEMPOTENCY_KEY])
@admin_adjustments.arguments(AdjustmentDecisionSchema)
@admin_adjustments.response(200, AdjustmentSchema)
def approve(body: dict[str, str], adjustment_id: str) -> Answer:
    """Approve what somebody else asked for: the money moves."""
    return _decide(adjustment_id, approve=True, reason=body["reason"])


@admin_adjustments.post("/<entity_id:adjustment_id>/refuse")
@authenticated(role=DECIDERS)
@admin_adjustments.doc(parameters=[IDEMPOTENCY_KEY])
@admin_adjustments.arguments(AdjustmentDecisionSchema)
@admin_adjustments.response(200, AdjustmentSchema)
def refuse(body: dict[str, str], adjustment_id: str) -> Answer:
    """Turn down what somebody else asked for."""
    return _decide(adjustment_id, approve=False, reason=body["reason"])


def _decide(adjustment_id: str, *, approve: bool, reason: str) -> Answer:
    _, repeated = decide_once(
        lambda unit, operator_id, at: (
            decide_adjustment(
                unit,
                operator_id=operator_id,
                adjustment_id=adjustment_id,
                approve=approve,
                reason=reason,
                at=at,
            ).id
        )
    )
    return _shown(adjustment_id, 200, repeated=repeated)


def _find(adjustment_id: str) -> Adjustment:
    adjustment = wallet().units.read(lambda unit: unit.adjustments.find(adjustment_id))
    if adjustment is None:
        raise AdjustmentNotFound("There is no such adjustment.")
    return adjustment


def _shown(adjustment_id: str, status: int, *, repeated: bool) -> Answer:
    headers = {"Location": url_for("admin_adjustments.show", adjustment_id=adjustment_id)}
    if repeated:
        headers["Idempotent-Replayed"] = "true"
    return _render(_find(adjustment_id)), status, headers


def _render(adjustment: Adjustment) -> dict[str, Any]:
    shown = {
        "id": adjustment.id,
        "user_id": adjustment.user_id,
        "amount": adjustment.money.amount_text,
        "currency": adjustment.money.currency,
        "reason": adjustment.reason,
        "requested_by": adjustment.requested_by,
        "requested_at": render_instant(adjustment.requested_at),
        "status": adjustment.status.value,
        "decided_by": adjustment.decided_by,
        "decided_at": adjustment.decided_at and render_instant(adjustment.decided_at),
        "decision_reason": adjustment.decision_reason,
    }
    return {name: value for name, value in shown.items() if value is not None}
