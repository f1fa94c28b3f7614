"""Routes of suspense: what lies there, what is entered by hand, and to whom it is assigned."""

# mypy: disable-error-code="untyped-decorator"
# flask-smorest publishes no types for its decorators.

import re
from typing import Any, Final

from flask_smorest import Blueprint
from marshmallow import RAISE, Schema, fields, validate

from octoco.http import authenticated
from octoco.http.schemas import AmountField, CurrencyField, StrictSchema
from octoco.money import Money
from wallet.domain.errors import PurchaseNotBooked
from wallet.domain.ledger import PurchaseMoney, SuspendedPurchase
from wallet.domain.operator_decisions import REASON_LENGTH_MAX
from wallet.entrypoints.http.admin.deciding import decide_once
from wallet.entrypoints.http.admin.documentation import IDEMPOTENCY_KEY
from wallet.entrypoints.http.admin.roles import DECIDERS, READERS
from wallet.entrypoints.http.context import wallet
from wallet.entrypoints.http.paging import cursor_of, place_after
from wallet.entrypoints.http.schemas import PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, render_instant
from wallet.use_cases.assign_suspense import assign_suspense
from wallet.use_cases.enter_suspense import enter_suspense, undo_suspense_entry
from wallet.use_cases.list_for_operators import list_suspense

Answer = tuple[dict[str, Any], int, dict[str, str]]
_FORM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")
_REFERENCE: Final = validate.Regexp(
    _FORM,
    error="A reference has up to 64 letters, digits, dots, colons, dashes and underscores.",
)

admin_suspense = Blueprint(
    "admin_suspense",
    __name__,
    url_prefix="/v1/admin/suspense",
    description="Money that waits for an operator to say whose it is",
)


def _reason() -> fields.String:
    return fields.String(required=True, validate=validate.Length(min=1, max=REASON_LENGTH_MAX))


class SuspenseEntrySchema(StrictSchema):
    reference = fields.String(
        required=True,
        validate=_REFERENCE,
        metadata={"description": "Revio's purchase, or how Revio shows the money."},
    )
    amount = AmountField(required=True, metadata={"type": "string", "example": "250.00"})
    currency = CurrencyField(required=True, metadata={"example": "ZAR"})
    reason = _reason()


class SuspenseAssignmentSchema(StrictSchema):
    user_id = fields.String(required=True, validate=validate.Length(min=1, max=64))
    transaction_id = fields.String(
        validate=validate.Length(min=1, max=64),
        metadata={"description": "The user's deposit that the money pays for, to the cent."},
    )
    reason = _reason()


class SuspenseUndoSchema(StrictSchema):
    reason = _reason()


class SuspenseQuerySchema(StrictSchema):
    limit = fields.Integer(
        load_default=PAGE_LIMIT_DEFAULT, validate=validate.Range(min=1, max=PAGE_LIMIT_MAX)
    )
    cursor = fields.String(validate=validate.Length(min=1, max=200))


class SuspendedPurchaseSchema(Schema):
    purchase_id = fields.String()
    amount = fields.String(metadata={"description": "What lies in suspense.", "example": "250.00"})
    came_in = fields.String(metadata={"example": "250.00"})
    currency = fields.String()
    effective_at = fields.String(metadata={"format": "date-time"})
    booked_at = fields.String(metadata={"format": "date-time"})


class SuspensePageSchema(Schema):
    items = fields.List(fields.Nested(SuspendedPurchaseSchema))
    next_cursor = fields.String(allow_none=True)


class PurchaseMoneySchema(Schema):
    purchase_id = fields.String()
    user_id = fields.String(metadata={"description": "Whose it is; missing while in suspense."})
    came_in = fields.String(metadata={"example": "250.00"})
    refunded = fields.String(metadata={"example": "0.00"})
    charged_back = fields.String(metadata={"example": "0.00"})
    left = fields.String(metadata={"example": "250.00"})
    currency = fields.String()


@admin_suspense.get("")
@authenticated(role=READERS)
@admin_suspense.arguments(SuspenseQuerySchema, location="query", unknown=RAISE)
@admin_suspense.response(200, SuspensePageSchema)
def list_all(query: dict[str, Any]) -> dict[str, Any]:
    """List what lies in suspense, by purchase, oldest first."""
    after = place_after(query.get("cursor"))
    page, next_after = wallet().units.read(
        lambda unit: list_suspense(unit, after=after, limit=query["limit"])
    )
    return {
        "items": [_render_suspended(one) for one in page],
        "next_cursor": cursor_of(None if next_after is None else str(next_after)),
    }


@admin_suspense.post("")
@authenticated(role=DECIDERS)
@admin_suspense.doc(parameters=[IDEMPOTENCY_KEY])
@admin_suspense.arguments(SuspenseEntrySchema)
@admin_suspense.response(201, PurchaseMoneySchema)
def enter(body: dict[str, str]) -> Answer:
    """Enter money that lies at Revio and that nobody here knows of."""
    money = Money.parse(body["amount"], body["currency"])
    reference, repeated = decide_once(
        lambda unit, operator_id, at: (
            enter_suspense(
                unit,
                operator_id=operator_id,
                reference=body["reference"],
                money=money,
                reason=body["reason"],
                at=at,
            ).purchase_id
        )
    )
    return _shown(reference, 201, repeated=repeated)


@admin_suspense.post("/<purchase_id>/assign")
@authenticated(role=DECIDERS)
@admin_suspense.doc(parameters=[IDEMPOTENCY_KEY])
@admin_suspense.arguments(SuspenseAssignmentSchema)
@admin_suspense.response(200, PurchaseMoneySchema)
def assign(body: dict[str, str], purchase_id: str) -> Answer:
    """Credit what lies in suspense to the user it belongs to."""
    _require_form(purchase_id)
    _, repeated = decide_once(
        lambda unit, operator_id, at: (
            assign_suspense(
                unit,
                operator_id=operator_id,
                purchase_id=purchase_id,
                user_id=body["user_id"],
                transaction_id=body.get("transaction_id"),
                reason=body["reason"],
                at=at,
            ).purchase_id
        )
    )
    return _shown(purchase_id, 200, repeated=repeated)


@admin_suspense.post("/<purchase_id>/undo")
@authenticated(role=DECIDERS)
@admin_suspense.doc(parameters=[IDEMPOTENCY_KEY])
@admin_suspense.arguments(SuspenseUndoSchema)
@admin_suspense.response(200, PurchaseMoneySchema)
def undo(body: dict[str, str], purchase_id: str) -> Answer:
    """Reverse what an operator entered, while all of it lies in suspense."""
    _require_form(purchase_id)
    _, repeated = decide_once(
        lambda unit, operator_id, at: (
            undo_suspense_entry(
                unit,
                operator_id=operator_id,
                reference=purchase_id,
                reason=body["reason"],
                at=at,
            ).purchase_id
        )
    )
    return _shown(purchase_id, 200, repeated=repeated)


def _require_form(purchase_id: str) -> None:
    # Addresses may hold text that no column can.
    if not _FORM.match(purchase_id):
        raise PurchaseNotBooked("Nothing came in by this purchase.")


def _shown(purchase_id: str, status: int, *, repeated: bool) -> Answer:
    purchase = wallet().units.read(lambda unit: unit.ledger.purchase(purchase_id))
    if purchase is None:
        raise PurchaseNotBooked("Nothing came in by this purchase.")
    headers = {"Idempotent-Replayed": "true"} if repeated else {}
    return _render_purchase(purchase), status, headers


def _render_suspended(suspended: SuspendedPurchase) -> dict[str, Any]:
    return {
        "purchase_id": suspended.purchase_id,
        "amount": suspended.left.amount_text,
        "came_in": suspended.came_in.amount_text,
        "currency": suspended.left.currency,
        "effective_at": render_instant(suspended.effective_at),
        "booked_at": render_instant(suspended.booked_at),
    }


def _render_purchase(purchase: PurchaseMoney) -> dict[str, Any]:
    shown = {
        "purchase_id": purchase.purchase_id,
        "user_id": purchase.user_id,
        "came_in": purchase.came_in.amount_text,
        "refunded": purchase.refunded.amount_text,
        "charged_back": purchase.charged_back.amount_text,
        "left": purchase.left.amount_text,
        "currency": purchase.came_in.currency,
    }
    return {name: value for name, value in shown.items() if value is not None}
