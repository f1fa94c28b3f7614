"""Adjustments on PostgreSQL: the database itself sees to it that two people agreed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy
from sqlalchemy.exc import DBAPIError

from octoco.errors import Refusal
from octoco.money import InvalidAmount, Money, UnknownCurrency
from wallet.domain.adjustments import Adjustment, AdjustmentStatus
from wallet.domain.errors import (
    AdjustmentAlreadyDecided,
    AdjustmentNeedsTwoPeople,
    AdjustmentNotFound,
    BusinessKeyReused,
    InsufficientFunds,
    LedgerAccountNotFound,
    OwnAdjustment,
)

# The SQLSTATEs that a caller can bring about; any other one is a bug.
_REFUSALS: Final[Mapping[str, tuple[type[Refusal], str]]] = {
    "WL010": (UnknownCurrency, "The ledger does not know this currency."),
    "WL011": (InvalidAmount, "The ledger cannot book this amount."),
    "WL012": (BusinessKeyReused, "This was asked for before as something else."),
    "WL013": (LedgerAccountNotFound, "There are no ledger accounts in this currency."),
    "WL014": (InsufficientFunds, "Less is available than was to be taken."),
    "WL030": (AdjustmentNotFound, "There is no such adjustment."),
    "WL031": (AdjustmentNeedsTwoPeople, "Somebody else has to decide what you asked for."),
    "WL032": (AdjustmentAlreadyDecided, "This adjustment was decided already."),
    "WL036": (OwnAdjustment, "Nobody asks for or decides about their own money."),
}

_REQUEST: Final = sqlalchemy.text(
    "SELECT * FROM request_adjustment(:id, :user_id, :amount, :currency, :reason, :operator_id)"
)
_DECIDE: Final = sqlalchemy.text(
    "SELECT * FROM decide_adjustment(:id, :operator_id, :approve, :reason)"
)
_FIND: Final = sqlalchemy.text("SELECT * FROM adjustments WHERE id = :id")
_PAGE: Final = """
    SELECT * FROM adjustments WHERE {conditions} ORDER BY id DESC LIMIT :limit
"""
_CONDITIONS: Final[Mapping[AdjustmentStatus | None, str]] = {
    None: "true",
    AdjustmentStatus.OPEN: "decision IS NULL",
    AdjustmentStatus.APPROVED: "decision = 'approved'",
    AdjustmentStatus.REFUSED: "decision = 'refused'",
}


class PostgresAdjustments:
    """See `wallet.use_cases.operator_ports.Adjustments`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def request(
        self, *, adjustment_id: str, user_id: str, money: Money, reason: str, operator_id: str
    ) -> Adjustment:
        return self._call(
            _REQUEST,
            {
                "id": adjustment_id,
                "user_id": user_id,
                "amount": money.amount,
                "currency": money.currency,
                "reason": reason,
                "operator_id": operator_id,
            },
        )

    def decide(
        self, *, adjustment_id: str, operator_id: str, approve: bool, reason: str
    ) -> Adjustment:
        return self._call(
            _DECIDE,
            {
                "id": adjustment_id,
                "operator_id": operator_id,
                "approve": approve,
                "reason": reason,
            },
        )

    def find(self, adjustment_id: str) -> Adjustment | None:
        row = self._connection.execute(_FIND, {"id": adjustment_id}).one_or_none()
        return None if row is None else _adjustment(row)

    def page(
        self, *, status: AdjustmentStatus | None, before_id: str | None, limit: int
    ) -> Sequence[Adjustment]:
        conditions = _CONDITIONS[status]
        if before_id is not None:
            conditions += " AND id < :before_id"
        rows = self._connection.execute(
            sqlalchemy.text(_PAGE.format(conditions=conditions)),
            {"before_id": before_id, "limit": limit},
        )
        return [_adjustment(row) for row in rows]

    def _call(
        self, statement: sqlalchemy.TextClause, parameters: Mapping[str, object]
    ) -> Adjustment:
        try:
            return _adjustment(self._connection.execute(statement, parameters).one())
        except DBAPIError as error:
            original: Any = error.orig
            refusal = _REFUSALS.get(original.pgcode)
            if refusal is None:
                raise
            kind, message = refusal
            facts = json.loads(original.diag.message_detail or "{}")
            shown = {name: value for name, value in facts.items() if name == "available"}
            raise kind(message, **shown) from error


def _adjustment(row: Any) -> Adjustment:
    return Adjustment(
        id=row.id,
        user_id=row.user_id,
        money=Money(row.amount, row.currency),
        reason=row.reason,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        status=AdjustmentStatus(row.decision or "open"),
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        decision_reason=row.decision_reason,
    )
