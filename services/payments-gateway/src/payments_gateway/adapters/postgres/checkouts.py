"""Checkouts and purchases in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from octoco.money import Money
from payments_gateway.adapters.postgres.origins import origin_of, origin_values
from payments_gateway.adapters.postgres.statements import Statements
from payments_gateway.domain.checkouts import Checkout, CheckoutStatus, Purchase
from payments_gateway.domain.provider import PurchaseState


class PostgresCheckouts:
    """See `payments_gateway.use_cases.ports.Checkouts`."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def find(self, transaction_id: str) -> Checkout | None:
        row = self._statements.one(_SELECT_CHECKOUT, transaction_id=transaction_id)
        return None if row is None else _checkout(row)

    def lock(self, transaction_id: str) -> Checkout | None:
        row = self._statements.one(f"{_SELECT_CHECKOUT} FOR UPDATE", transaction_id=transaction_id)
        return None if row is None else _checkout(row)

    def insert(self, checkout: Checkout) -> None:
        self._statements.run(_INSERT_CHECKOUT, **_checkout_values(checkout))

    def save(self, checkout: Checkout) -> None:
        self._statements.run(_UPDATE_CHECKOUT, **_checkout_values(checkout))


class PostgresPurchases:
    """See `payments_gateway.use_cases.ports.Purchases`."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def find(self, purchase_id: str) -> Purchase | None:
        row = self._statements.one(_SELECT_PURCHASE, purchase_id=purchase_id)
        return None if row is None else _purchase(row)

    def lock(self, purchase_id: str) -> Purchase | None:
        row = self._statements.one(f"{_SELECT_PURCHASE} FOR UPDATE", purchase_id=purchase_id)
        return None if row is None else _purchase(row)

    def of_transaction(self, transaction_id: str) -> Sequence[Purchase]:
        rows = self._statements.all(
            "SELECT * FROM purchases WHERE transaction_id = :transaction_id ORDER BY purchase_id",
            transaction_id=transaction_id,
        )
        return [_purchase(row) for row in rows]

    def insert(self, purchase: Purchase) -> None:
        self._statements.run(_INSERT_PURCHASE, **_purchase_values(purchase))

    def save(self, purchase: Purchase) -> None:
        self._statements.run(_UPDATE_PURCHASE, **_purchase_values(purchase))


_SELECT_CHECKOUT = "SELECT * FROM checkouts WHERE transaction_id = :transaction_id"
_INSERT_CHECKOUT = """
    INSERT INTO checkouts (transaction_id, user_id, amount, currency, status, purchase_id,
                           cancel_requested_at, expires_at, reason_code, created_at,
                           correlation_id, traceparent)
    VALUES (:transaction_id, :user_id, :amount, :currency, :status, :purchase_id,
            :cancel_requested_at, :expires_at, :reason_code, :created_at,
            :correlation_id, :traceparent)
"""
_UPDATE_CHECKOUT = """
    UPDATE checkouts SET status = :status, purchase_id = :purchase_id, expires_at = :expires_at,
        cancel_requested_at = :cancel_requested_at, reason_code = :reason_code
    WHERE transaction_id = :transaction_id
"""
_SELECT_PURCHASE = "SELECT * FROM purchases WHERE purchase_id = :purchase_id"
_INSERT_PURCHASE = """
    INSERT INTO purchases (purchase_id, transaction_id, state, provider_status, attempts_failed,
                           expires_at, seen_at)
    VALUES (:purchase_id, :transaction_id, :state, :provider_status, :attempts_failed,
            :expires_at, :seen_at)
"""
_UPDATE_PURCHASE = """
    UPDATE purchases SET state = :state, provider_status = :provider_status, seen_at = :seen_at,
        attempts_failed = :attempts_failed
    WHERE purchase_id = :purchase_id
"""


def _checkout(row: Any) -> Checkout:
    return Checkout(
        transaction_id=row.transaction_id,
        user_id=row.user_id,
        money=Money(row.amount, row.currency),
        status=CheckoutStatus(row.status),
        created_at=row.created_at,
        purchase_id=row.purchase_id,
        cancel_requested_at=row.cancel_requested_at,
        expires_at=row.expires_at,
        reason_code=row.reason_code,
        origin=origin_of(row),
    )


def _checkout_values(checkout: Checkout) -> dict[str, Any]:
    return {
        "transaction_id": checkout.transaction_id,
        "user_id": checkout.user_id,
        "amount": checkout.money.amount,
        "currency": checkout.money.currency,
        "status": checkout.status.value,
        "purchase_id": checkout.purchase_id,
        "cancel_requested_at": checkout.cancel_requested_at,
        "expires_at": checkout.expires_at,
        "reason_code": checkout.reason_code,
        "created_at": checkout.created_at,
        **origin_values(checkout.origin),
    }


def _purchase(row: Any) -> Purchase:
    return Purchase(
        purchase_id=row.purchase_id,
        transaction_id=row.transaction_id,
        state=PurchaseState(row.state),
        provider_status=row.provider_status,
        seen_at=row.seen_at,
        expires_at=row.expires_at,
        attempts_failed=row.attempts_failed,
    )


def _purchase_values(purchase: Purchase) -> dict[str, Any]:
    return {
        "purchase_id": purchase.purchase_id,
        "transaction_id": purchase.transaction_id,
        "state": purchase.state.value,
        "provider_status": purchase.provider_status,
        "attempts_failed": purchase.attempts_failed,
        "expires_at": purchase.expires_at,
        "seen_at": purchase.seen_at,
    }
