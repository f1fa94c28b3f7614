"""Webhook deliveries and registrations in PostgreSQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from octoco.money import Money
from octoco.retention import Kept
from payments_gateway.adapters.postgres.statements import Statements
from payments_gateway.domain.provider import PayoutState, PurchaseState, RegisteredWebhook
from payments_gateway.domain.webhooks import (
    RefusedWebhook,
    WebhookDelivery,
    WebhookObject,
    WebhookSummary,
)

REFUSED_KEPT_MAX: Final = 1000
REFUSED_BODY_BYTES_KEPT: Final = 4096
REFUSED_SIGNATURE_CHARACTERS_KEPT: Final = 1024


def kept_webhooks(days: int) -> Kept:
    """Say which deliveries are kept for how long; one that is not finished is kept in any case.

    The database itself refuses to delete any within a month.
    """
    return Kept(
        "webhook_deliveries",
        days,
        primary_key="delivery_id",
        order="delivery_id",
        id_prefix="whd",
        only="received_at < :before AND finished_at < :before",
    )


class PostgresWebhookDeliveries:
    """See `payments_gateway.use_cases.ports.WebhookDeliveries`."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def insert(self, delivery: WebhookDelivery) -> bool:
        summary = delivery.summary
        inserted = self._statements.run(
            """
            INSERT INTO webhook_deliveries (delivery_id, body_sha256, body, signature, event_type,
                object, object_id, purchase_id, claims, went_back_amount, went_back_currency,
                went_back_at, received_at)
            VALUES (:delivery_id, :body_sha256, :body, :signature, :event_type,
                :object, :object_id, :purchase_id, :claims, :went_back_amount,
                :went_back_currency, :went_back_at, :received_at)
            ON CONFLICT (body_sha256) DO NOTHING
            """,
            delivery_id=delivery.delivery_id,
            body_sha256=delivery.body_sha256,
            body=delivery.body,
            signature=delivery.signature,
            event_type=None if summary is None else summary.event_type,
            object=None if summary is None else summary.object.value,
            object_id=None if summary is None else summary.object_id,
            purchase_id=None if summary is None else summary.purchase_id,
            claims=_claims_text(summary),
            went_back_amount=summary and summary.went_back and summary.went_back.amount,
            went_back_currency=summary and summary.went_back and summary.went_back.currency,
            went_back_at=summary and summary.went_back_at,
            received_at=delivery.received_at,
        )
        return inserted == 1

    def find(self, delivery_id: str) -> WebhookDelivery | None:
        row = self._statements.one(
            "SELECT * FROM webhook_deliveries WHERE delivery_id = :delivery_id",
            delivery_id=delivery_id,
        )
        return None if row is None else _delivery(row)

    def finish(self, delivery_id: str, *, outcome: str, at: datetime) -> None:
        self._statements.run(
            "UPDATE webhook_deliveries SET outcome = :outcome, finished_at = :at"
            " WHERE delivery_id = :delivery_id",
            delivery_id=delivery_id,
            outcome=outcome,
            at=at,
        )

    def keep_refused(self, refused: RefusedWebhook) -> None:
        # A ring: the oldest row gives its place away, and concurrent refusals never meet.
        self._statements.run(
            """
            INSERT INTO refused_webhooks (slot, code, body, signature, received_at)
            VALUES (nextval('refused_webhooks_number') % :kept, :code, :body, :signature,
                    :received_at)
            ON CONFLICT (slot) DO UPDATE SET code = excluded.code, body = excluded.body,
                signature = excluded.signature, received_at = excluded.received_at
            """,
            kept=REFUSED_KEPT_MAX,
            code=refused.code,
            body=refused.body[:REFUSED_BODY_BYTES_KEPT],
            signature=refused.signature[:REFUSED_SIGNATURE_CHARACTERS_KEPT],
            received_at=refused.received_at,
        )


class PostgresWebhookRegistrations:
    """See `payments_gateway.use_cases.ports.WebhookRegistrations`."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def all(self) -> Sequence[RegisteredWebhook]:
        rows = self._statements.all("SELECT * FROM webhook_registrations ORDER BY webhook_id")
        return [
            RegisteredWebhook(
                webhook_id=row.webhook_id,
                callback_url=row.callback_url,
                public_key_pem=row.public_key_pem,
            )
            for row in rows
        ]

    def replace(self, webhooks: Sequence[RegisteredWebhook], *, at: datetime) -> None:
        for webhook in webhooks:
            self._statements.run(
                """
                INSERT INTO webhook_registrations (webhook_id, callback_url, public_key_pem,
                                                   read_at)
                VALUES (:webhook_id, :callback_url, :public_key_pem, :at)
                ON CONFLICT (webhook_id) DO UPDATE SET callback_url = excluded.callback_url,
                    public_key_pem = excluded.public_key_pem, read_at = excluded.read_at
                """,
                webhook_id=webhook.webhook_id,
                callback_url=webhook.callback_url,
                public_key_pem=webhook.public_key_pem,
                at=at,
            )
        self._statements.run(
            "DELETE FROM webhook_registrations WHERE NOT webhook_id = ANY(:kept)",
            kept=[webhook.webhook_id for webhook in webhooks],
        )

    def claim_key_reading(self, *, at: datetime, last_before: datetime) -> bool:
        claimed = self._statements.run(
            "UPDATE webhook_key_readings SET claimed_at = :at WHERE claimed_at < :last_before",
            at=at,
            last_before=last_before,
        )
        return claimed == 1


def _claims_text(summary: WebhookSummary | None) -> str | None:
    if summary is None or summary.claims is None:
        return None
    return summary.claims.value


def _delivery(row: Any) -> WebhookDelivery:
    summary = None
    if row.object is not None:
        summary = WebhookSummary(
            event_type=row.event_type,
            object=WebhookObject(row.object),
            object_id=row.object_id,
            purchase_id=row.purchase_id,
            claims=_claims(WebhookObject(row.object), row.claims),
            went_back=(
                None
                if row.went_back_amount is None
                else Money(row.went_back_amount, row.went_back_currency)
            ),
            went_back_at=row.went_back_at,
        )
    return WebhookDelivery(
        delivery_id=row.delivery_id,
        body=bytes(row.body),
        signature=row.signature,
        summary=summary,
        received_at=row.received_at,
        outcome=row.outcome,
    )


def _claims(about: WebhookObject, text: str | None) -> PurchaseState | PayoutState | None:
    if text is None:
        return None
    return PayoutState(text) if about is WebhookObject.PAYOUT else PurchaseState(text)
