"""Deliveries in PostgreSQL."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy

from notifications.domain.deliveries import (
    Delivery,
    DeliveryId,
    DeliveryStatus,
    EncryptedToken,
    FailureReason,
    Template,
)

_ADD = sqlalchemy.text(
    """
    INSERT INTO deliveries (
        id, message_id, template, user_id, to_address, locale, facts, created_at,
        token_encrypted, token_expires_at, status
    ) VALUES (
        :id, :message_id, :template, :user_id, :to_address, :locale, CAST(:facts AS jsonb),
        :created_at, :token_encrypted, :token_expires_at, 'waiting'
    ) ON CONFLICT (message_id, template) DO NOTHING
    """
)
_PUBLIC_COLUMNS = """
    id, message_id, template, user_id, to_address, locale, facts, created_at, status, repeats,
    sent_at, failure_reason
"""
_LOCK = sqlalchemy.text(
    f"""
    SELECT {_PUBLIC_COLUMNS}, token_encrypted, token_expires_at FROM deliveries
    WHERE id = :id FOR UPDATE
    """
)
_SAVE = sqlalchemy.text(
    """
    UPDATE deliveries SET status = :status, repeats = :repeats, sent_at = :sent_at,
        failure_reason = :failure_reason, token_encrypted = :token_encrypted
    WHERE id = :id
    """
)
_PAGE = sqlalchemy.text(
    f"""
    SELECT {_PUBLIC_COLUMNS}, NULL AS token_encrypted FROM deliveries
    WHERE user_id = :user_id AND (CAST(:before AS text) IS NULL OR id < :before)
    ORDER BY id DESC LIMIT :limit
    """
)


class PostgresDeliveries:
    """See `notifications.use_cases.ports.Deliveries`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def add(self, delivery: Delivery) -> bool:
        token = delivery.token
        added = self._connection.execute(
            _ADD,
            {
                "id": delivery.id,
                "message_id": delivery.message_id,
                "template": delivery.template.value,
                "user_id": delivery.user_id,
                "to_address": delivery.to_address,
                "locale": delivery.locale,
                "facts": json.dumps(dict(delivery.facts)),
                "created_at": delivery.created_at,
                "token_encrypted": token.ciphertext if token else None,
                "token_expires_at": token.expires_at if token else None,
            },
        )
        return added.rowcount == 1

    def lock(self, delivery_id: DeliveryId) -> Delivery | None:
        row = self._connection.execute(_LOCK, {"id": delivery_id}).one_or_none()
        return _delivery(row) if row is not None else None

    def save(self, delivery: Delivery) -> None:
        reason = delivery.failure_reason
        self._connection.execute(
            _SAVE,
            {
                "id": delivery.id,
                "status": delivery.status.value,
                "repeats": delivery.repeats,
                "sent_at": delivery.sent_at,
                "failure_reason": reason.value if reason else None,
                "token_encrypted": delivery.token.ciphertext if delivery.token else None,
            },
        )

    def page_of(self, user_id: str, *, before: DeliveryId | None, limit: int) -> Sequence[Delivery]:
        rows = self._connection.execute(
            _PAGE, {"user_id": user_id, "before": before, "limit": limit}
        )
        return [_delivery(row) for row in rows]


def _delivery(row: sqlalchemy.Row[Any]) -> Delivery:
    token = None
    if row.token_encrypted is not None:
        token = EncryptedToken(row.token_encrypted, row.token_expires_at)
    return Delivery(
        id=DeliveryId(row.id),
        message_id=row.message_id,
        template=Template(row.template),
        user_id=row.user_id,
        to_address=row.to_address,
        locale=row.locale,
        facts=row.facts,
        created_at=row.created_at,
        token=token,
        status=DeliveryStatus(row.status),
        repeats=row.repeats,
        sent_at=row.sent_at,
        failure_reason=FailureReason(row.failure_reason) if row.failure_reason else None,
    )
