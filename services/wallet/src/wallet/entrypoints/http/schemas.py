"""The bodies and queries that go in and out."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, fields, validate

from octoco.http.schemas import AmountField, CurrencyField, StrictSchema
from wallet.domain.transactions import Status, TimelineEvent, Transaction, TransactionKind

_KINDS = [kind.value for kind in TransactionKind]
_STATUSES = [status.value for status in Status]
PAGE_LIMIT_DEFAULT = 20
PAGE_LIMIT_MAX = 100


class DepositRequestSchema(StrictSchema):
    amount = AmountField(required=True, metadata={"type": "string", "example": "250.00"})
    currency = CurrencyField(required=True, metadata={"example": "ZAR"})


class WithdrawalRequestSchema(StrictSchema):
    amount = AmountField(required=True, metadata={"type": "string", "example": "100.00"})
    currency = CurrencyField(required=True, metadata={"example": "ZAR"})
    bank_account_id = fields.String(required=True, validate=validate.Length(min=1, max=64))


class BalanceQuerySchema(StrictSchema):
    currency = CurrencyField(metadata={"example": "ZAR"})


class BalanceSchema(Schema):
    currency = fields.String()
    available = fields.String(metadata={"example": "250.00"})
    held = fields.String(metadata={"example": "0.00"})
    owed = fields.String(
        metadata={
            "example": "0.00",
            "description": "What the user owes after a refund or a chargeback of money that was "
            "spent; what comes in next repays it first.",
        }
    )


class BalancesSchema(Schema):
    balances = fields.List(fields.Nested(BalanceSchema))


class PageQuerySchema(StrictSchema):
    kind = fields.String(validate=validate.OneOf(_KINDS))
    status = fields.String(validate=validate.OneOf(_STATUSES))
    limit = fields.Integer(
        load_default=PAGE_LIMIT_DEFAULT, validate=validate.Range(min=1, max=PAGE_LIMIT_MAX)
    )
    cursor = fields.String(validate=validate.Length(min=1, max=200))


class TimelineEventSchema(Schema):
    status = fields.String(validate=validate.OneOf(_STATUSES))
    at = fields.String(metadata={"format": "date-time"})
    cause = fields.String()
    detail = fields.String(allow_none=True)


class TransactionSchema(Schema):
    id = fields.String()
    kind = fields.String(validate=validate.OneOf(_KINDS))
    status = fields.String(validate=validate.OneOf(_STATUSES))
    amount = fields.String(metadata={"example": "250.00"})
    currency = fields.String()
    created_at = fields.String(metadata={"format": "date-time"})
    updated_at = fields.String(metadata={"format": "date-time"})
    checkout_url = fields.String(metadata={"description": "Where a pending deposit is paid."})
    checkout_expires_at = fields.String(metadata={"format": "date-time"})
    bank_account_id = fields.String(metadata={"description": "Of a withdrawal."})
    reason_code = fields.String(metadata={"description": "Why it ended without success."})


class TransactionDetailSchema(TransactionSchema):
    timeline = fields.List(fields.Nested(TimelineEventSchema))


class TransactionPageSchema(Schema):
    items = fields.List(fields.Nested(TransactionSchema))
    next_cursor = fields.String(allow_none=True)


def render_transaction(transaction: Transaction) -> dict[str, Any]:
    """Return a transaction as the API shows it; what it does not have is left out."""
    shown = {
        "id": transaction.id,
        "kind": transaction.kind.value,
        "status": transaction.status.value,
        "amount": transaction.money.amount_text,
        "currency": transaction.money.currency,
        "created_at": render_instant(transaction.created_at),
        "updated_at": render_instant(transaction.updated_at),
        "checkout_url": transaction.checkout_url,
        "checkout_expires_at": transaction.checkout_expires_at
        and render_instant(transaction.checkout_expires_at),
        "bank_account_id": transaction.bank_account_id,
        "reason_code": transaction.reason_code,
    }
    return {name: value for name, value in shown.items() if value is not None}


def render_timeline(events: Sequence[TimelineEvent]) -> list[Mapping[str, Any]]:
    """Return a transaction's history as the API shows it."""
    return [
        {
            "status": event.status.value,
            "at": render_instant(event.at),
            "cause": event.cause,
            "detail": event.detail,
        }
        for event in events
    ]


def render_instant(at: datetime) -> str:
    """Return an instant as RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
