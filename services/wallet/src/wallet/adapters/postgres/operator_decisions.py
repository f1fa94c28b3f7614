"""Operators' decisions on PostgreSQL, where the service's role can only add and read."""

import json
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy
from sqlalchemy.exc import DBAPIError

from wallet.domain.errors import AssignmentNeedsTwoPeople
from wallet.domain.operator_decisions import DecisionAction, OperatorDecision

_ADD: Final = sqlalchemy.text(
    """
    INSERT INTO operator_decisions (id, at, operator_id, action, subject, reason, details)
    VALUES (:id, :at, :operator_id, :action, :subject, :reason, CAST(:details AS jsonb))
    """
)
_OF_SUBJECT: Final = sqlalchemy.text(
    """
    SELECT id, at, operator_id, action, subject, reason, details FROM operator_decisions
    WHERE subject = :subject ORDER BY at, id
    """
)

# What the trigger on the table refuses; the use case asks first, and in better words.
_NEEDS_TWO_PEOPLE: Final = "WL035"


class PostgresOperatorDecisions:
    """See `wallet.use_cases.operator_ports.OperatorDecisions`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def add(self, decision: OperatorDecision) -> None:
        try:
            self._connection.execute(
                _ADD,
                {
                    "id": decision.id,
                    "at": decision.at,
                    "operator_id": decision.operator_id,
                    "action": decision.action.value,
                    "subject": decision.subject,
                    "reason": decision.reason,
                    "details": json.dumps(decision.details),
                },
            )
        except DBAPIError as error:
            original: Any = error.orig
            if original.pgcode != _NEEDS_TWO_PEOPLE:
                raise
            raise AssignmentNeedsTwoPeople(
                "Whoever entered this money can neither assign it nor be given it."
            ) from error

    def of_subject(self, subject: str) -> Sequence[OperatorDecision]:
        return [
            OperatorDecision(
                id=row.id,
                at=row.at,
                operator_id=row.operator_id,
                action=DecisionAction(row.action),
                subject=row.subject,
                reason=row.reason,
                details=row.details,
            )
            for row in self._connection.execute(_OF_SUBJECT, {"subject": subject})
        ]
