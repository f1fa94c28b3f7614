"""The audit log in PostgreSQL, where the service's role can only add to it."""

import json

import sqlalchemy

from accounts.domain.audit import AuditRecord

_APPEND = sqlalchemy.text(
    """
    INSERT INTO audit_log (at, action, user_id, address, user_agent, details)
    VALUES (:at, :action, :user_id, :address, :user_agent, CAST(:details AS jsonb))
    """
)


class PostgresAuditLog:
    """See `accounts.use_cases.ports.AuditLog`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def append(self, record: AuditRecord) -> None:
        self._connection.execute(
            _APPEND,
            {
                "at": record.at,
                "action": record.action.value,
                "user_id": record.user_id,
                "address": record.origin.address,
                "user_agent": record.origin.user_agent,
                "details": json.dumps(record.details),
            },
        )
