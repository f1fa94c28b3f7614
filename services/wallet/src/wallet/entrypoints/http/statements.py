"""Routes of the users' statements."""

# mypy: disable-error-code="untyped-decorator"
# flask-smorest publishes no types for its decorators.

from collections.abc import Mapping
from typing import Any

from flask_smorest import Blueprint
from marshmallow import RAISE, Schema, fields, validate

from octoco.http import authenticated, current_user
from octoco.http.schemas import CurrencyField, StrictSchema
from wallet.domain.ledger import Balance
from wallet.domain.statements import Movement, Period
from wallet.entrypoints.http.context import wallet
from wallet.entrypoints.http.paging import cursor_of_position, position_of
from wallet.entrypoints.http.schemas import (
    PAGE_LIMIT_DEFAULT,
    PAGE_LIMIT_MAX,
    render_instant,
)
from wallet.use_cases.get_statement import get_statement

statements = Blueprint("statements", __name__, url_prefix="/v1", description="Statements")


class StatementQuerySchema(StrictSchema):
    currency = CurrencyField(required=True, metadata={"example": "ZAR"})
    limit = fields.Integer(
        load_default=PAGE_LIMIT_DEFAULT, validate=validate.Range(min=1, max=PAGE_LIMIT_MAX)
    )
    cursor = fields.String(validate=validate.Length(min=1, max=200))


class AmountsSchema(Schema):
    available = fields.String(metadata={"example": "250.00"})
    held = fields.String(metadata={"example": "0.00"})
    owed = fields.String(
        metadata={"example": "0.00", "description": "What the user owes; credits repay it first."}
    )


class MovementSchema(Schema):
    kind = fields.String(metadata={"example": "deposit"})
    booked_at = fields.String(
        metadata={"format": "date-time", "description": "Decides which period it belongs to."}
    )
    effective_at = fields.String(
        metadata={"format": "date-time", "description": "When it became true outside."}
    )
    transaction_id = fields.String(metadata={"description": "Where it is about one."})
    change = fields.Nested(AmountsSchema, metadata={"description": "Signed."})
    balance = fields.Nested(AmountsSchema, metadata={"description": "After it."})


class StatementSchema(Schema):
    period = fields.String(metadata={"example": "2026-11"})
    begins_at = fields.String(metadata={"format": "date-time"})
    ends_at = fields.String(metadata={"format": "date-time", "description": "Not included."})
    currency = fields.String()
    provisional = fields.Boolean(
        metadata={"description": "More may still come; once false, it never changes."}
    )
    opening = fields.Nested(AmountsSchema, metadata={"description": "Of the whole period."})
    movements = fields.List(fields.Nested(MovementSchema))
    closing = fields.Nested(AmountsSchema, metadata={"description": "Of the whole period."})
    next_cursor = fields.String(allow_none=True)


@statements.get("/statements/<string:period>")
@authenticated()
@statements.arguments(StatementQuerySchema, location="query", unknown=RAISE)
@statements.response(200, StatementSchema)
def statement(query: dict[str, Any], period: str) -> dict[str, Any]:
    """Show what moved the user's money in a month of UTC, oldest first."""
    month = Period.month(period)
    after = position_of(query.get("cursor"))
    user_id = current_user().user_id
    service = wallet()
    found = service.units.read(
        lambda unit: get_statement(
            unit,
            user_id=user_id,
            currency=query["currency"],
            period=month,
            after=after,
            limit=query["limit"],
            at=service.clock.now(),
        )
    )
    return {
        "period": period,
        "begins_at": render_instant(month.begins_at),
        "ends_at": render_instant(month.ends_at),
        "currency": query["currency"],
        "provisional": found.provisional,
        "opening": render_amounts(found.opening.balance),
        "movements": [render_movement(one) for one in found.movements],
        "closing": render_amounts(found.closing.balance),
        "next_cursor": cursor_of_position(found.next_after),
    }


def render_movement(movement: Movement) -> dict[str, Any]:
    """Return a movement as the API shows it; what it does not have is left out."""
    shown = {
        "kind": movement.kind,
        "booked_at": render_instant(movement.booked_at),
        "effective_at": render_instant(movement.effective_at),
        "transaction_id": movement.transaction_id,
        "change": render_amounts(movement.change),
        "balance": render_amounts(movement.after.balance),
    }
    return {name: value for name, value in shown.items() if value is not None}


def render_amounts(balance: Balance) -> Mapping[str, str]:
    """Return the three amounts of a balance as the API shows them."""
    return {
        "available": balance.available.amount_text,
        "held": balance.held.amount_text,
        "owed": balance.receivable.amount_text,
    }
