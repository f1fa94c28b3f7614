"""Payouts in PostgreSQL; the address that executes one is encrypted."""

from typing import Any

from octoco.money import Money
from payments_gateway.adapters.encryption import Encryption
from payments_gateway.adapters.postgres.origins import origin_of, origin_values
from payments_gateway.adapters.postgres.statements import Statements
from payments_gateway.domain.payouts import Payout, PayoutStatus


class PostgresPayouts:
    """See `payments_gateway.use_cases.ports.Payouts`."""

    def __init__(self, statements: Statements, encryption: Encryption) -> None:
        self._statements = statements
        self._encryption = encryption

    def find(self, transaction_id: str) -> Payout | None:
        row = self._statements.one(_SELECT, transaction_id=transaction_id)
        return None if row is None else self._payout(row)

    def lock(self, transaction_id: str) -> Payout | None:
        row = self._statements.one(f"{_SELECT} FOR UPDATE", transaction_id=transaction_id)
        return None if row is None else self._payout(row)

    def transaction_of(self, payout_id: str) -> str | None:
        row = self._statements.one(
            "SELECT transaction_id FROM payouts WHERE payout_id = :payout_id", payout_id=payout_id
        )
        return None if row is None else str(row.transaction_id)

    def insert(self, payout: Payout) -> None:
        self._statements.run(_INSERT, **self._values(payout))

    def save(self, payout: Payout) -> None:
        self._statements.run(_UPDATE, **self._values(payout))

    def _payout(self, row: Any) -> Payout:
        encrypted = row.execution_url_encrypted
        return Payout(
            transaction_id=row.transaction_id,
            user_id=row.user_id,
            bank_account_id=row.bank_account_id,
            money=Money(row.amount, row.currency),
            status=PayoutStatus(row.status),
            created_at=row.created_at,
            payout_id=row.payout_id,
            execution_url=None if encrypted is None else self._encryption.decrypt(encrypted),
            float_confirmed_at=row.float_confirmed_at,
            execution_begun_at=row.execution_begun_at,
            execution_answer=row.execution_answer,
            settled_at=row.settled_at,
            reason_code=row.reason_code,
            origin=origin_of(row),
        )

    def _values(self, payout: Payout) -> dict[str, Any]:
        url = payout.execution_url
        return {
            "transaction_id": payout.transaction_id,
            "user_id": payout.user_id,
            "bank_account_id": payout.bank_account_id,
            "amount": payout.money.amount,
            "currency": payout.money.currency,
            "status": payout.status.value,
            "payout_id": payout.payout_id,
            "execution_url_encrypted": None if url is None else self._encryption.encrypt(url),
            "float_confirmed_at": payout.float_confirmed_at,
            "execution_begun_at": payout.execution_begun_at,
            "execution_answer": payout.execution_answer,
            "settled_at": payout.settled_at,
            "reason_code": payout.reason_code,
            "created_at": payout.created_at,
            **origin_values(payout.origin),
        }


_SELECT = "SELECT * FROM payouts WHERE transaction_id = :transaction_id"
_INSERT = """
    INSERT INTO payouts (transaction_id, user_id, bank_account_id, amount, currency, status,
                         payout_id, execution_url_encrypted, float_confirmed_at,
                         execution_begun_at, execution_answer, settled_at, reason_code, created_at,
                         correlation_id, traceparent)
    VALUES (:transaction_id, :user_id, :bank_account_id, :amount, :currency, :status,
            :payout_id, :execution_url_encrypted, :float_confirmed_at,
            :execution_begun_at, :execution_answer, :settled_at, :reason_code, :created_at,
            :correlation_id, :traceparent)
"""
_UPDATE = """
    UPDATE payouts SET status = :status, payout_id = :payout_id,
        execution_url_encrypted = :execution_url_encrypted,
        float_confirmed_at = :float_confirmed_at, execution_begun_at = :execution_begun_at,
        execution_answer = :execution_answer, settled_at = :settled_at,
        reason_code = :reason_code
    WHERE transaction_id = :transaction_id
"""
