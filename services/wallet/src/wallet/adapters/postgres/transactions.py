"""Transactions on PostgreSQL: the row and the new lines of its timeline in one statement."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy

from octoco.context import WorkContext
from octoco.database import Database
from octoco.money import Money
from wallet.domain.limits import Counted
from wallet.domain.transactions import Status, TimelineEvent, Transaction, TransactionKind
from wallet.use_cases.ports import OverdueSaga, SagaCount, WithdrawalInReview

_APPEND_EVENTS: Final = """
    INSERT INTO transaction_events (transaction_id, status, at, cause, detail)
    SELECT :id, e.status, e.at, e.cause, e.detail
    FROM ROWS FROM (
        jsonb_to_recordset(CAST(:events AS jsonb))
        AS (status text, at timestamptz, cause text, detail text)
    ) WITH ORDINALITY AS e (status, at, cause, detail, place)
    ORDER BY e.place
"""
_ADD: Final = sqlalchemy.text(
    f"""
    WITH stored AS (
        INSERT INTO transactions (
            id, user_id, kind, status, amount, currency, created_at, updated_at, checkout_url,
            checkout_expires_at, bank_account_id, provider_id, reason_code, cancel_requested_at,
            saga_step, saga_step_at, saga_step_due_at, correlation_id, traceparent)
        VALUES (
            :id, :user_id, :kind, :status, :amount, :currency, :created_at, :updated_at,
            :checkout_url, :checkout_expires_at, :bank_account_id, :provider_id, :reason_code,
            :cancel_requested_at, :saga_step, :saga_step_at, :saga_step_due_at, :correlation_id,
            :traceparent)
    )
    {_APPEND_EVENTS}
    """
)
_SAVE: Final = sqlalchemy.text(
    f"""
    WITH stored AS (
        UPDATE transactions SET
            status = :status, updated_at = :updated_at, checkout_url = :checkout_url,
            checkout_expires_at = :checkout_expires_at, provider_id = :provider_id,
            reason_code = :reason_code, cancel_requested_at = :cancel_requested_at,
            saga_step = :saga_step, saga_step_at = :saga_step_at,
            saga_step_due_at = :saga_step_due_at
        WHERE id = :id
    )
    {_APPEND_EVENTS}
    """
)
_SAVE_ALL: Final = sqlalchemy.text(
    """
    WITH stored AS (
        UPDATE transactions t SET
            status = c.status, updated_at = c.updated_at, checkout_url = c.checkout_url,
            checkout_expires_at = c.checkout_expires_at, provider_id = c.provider_id,
            reason_code = c.reason_code, cancel_requested_at = c.cancel_requested_at,
            saga_step = c.saga_step, saga_step_at = c.saga_step_at,
            saga_step_due_at = c.saga_step_due_at
        FROM jsonb_to_recordset(CAST(:changed AS jsonb)) AS c (
            id text, status text, updated_at timestamptz, checkout_url text,
            checkout_expires_at timestamptz, provider_id text, reason_code text,
            cancel_requested_at timestamptz, saga_step text, saga_step_at timestamptz,
            saga_step_due_at timestamptz)
        -- Said twice: a join alone may be planned as a walk along the whole index.
        WHERE t.id = c.id AND t.id = ANY(CAST(:ids AS text[]))
    )
    INSERT INTO transaction_events (transaction_id, status, at, cause, detail)
    SELECT e.transaction_id, e.status, e.at, e.cause, e.detail
    FROM ROWS FROM (
        jsonb_to_recordset(CAST(:events AS jsonb))
        AS (transaction_id text, status text, at timestamptz, cause text, detail text)
    ) WITH ORDINALITY AS e (transaction_id, status, at, cause, detail, place)
    ORDER BY e.place
    """
)
# Both statements go in one message. Index paths are forced for the rest of the unit: of many rows
# at once the planner would rather scan a whole small table, which under SERIALIZABLE locks it.
_FIND_ALL_FOR_UPDATE: Final = sqlalchemy.text(
    """
    SET LOCAL enable_seqscan = off;
    SELECT * FROM transactions WHERE id = ANY(CAST(:ids AS text[])) ORDER BY id FOR UPDATE
    """
)
_FIND_FOR_UPDATE: Final = sqlalchemy.text("SELECT * FROM transactions WHERE id = :id FOR UPDATE")
_USER_OF: Final = sqlalchemy.text("SELECT user_id FROM transactions WHERE id = :id")
_FIND_OF_USER: Final = sqlalchemy.text(
    "SELECT * FROM transactions WHERE id = :id AND user_id = :user_id"
)
_TIMELINE: Final = sqlalchemy.text(
    """
    SELECT status, at, cause, detail FROM transaction_events
    WHERE transaction_id = :id ORDER BY id
    """
)
_PAGE: Final = """
    SELECT * FROM transactions
    WHERE user_id = :user_id {conditions} ORDER BY id DESC LIMIT :limit
"""
_COUNTED: Final = sqlalchemy.text(
    "SELECT at, amount, count FROM counted_since(:user_id, :kind, :currency, :since)"
)
# By the list of open sagas: a user's whole history would be long to read.
_CANCELLABLE: Final = sqlalchemy.text(
    """
    SELECT transactions.* FROM open_sagas JOIN transactions ON id = transaction_id
    WHERE open_sagas.user_id = :user_id AND transactions.kind = 'withdrawal'
      AND status = 'pending' AND cancel_requested_at IS NULL
    ORDER BY id FOR UPDATE OF transactions
    """
)
_IN_REVIEW: Final = """
    SELECT transactions.*, masked_number, bank_name,
           coalesce(verified_at IS NOT NULL AND removed_at IS NULL, false) AS account_is_usable,
           frozen_at IS NOT NULL AND (unfrozen_at IS NULL OR frozen_at >= unfrozen_at) AS is_frozen
    FROM open_sagas JOIN transactions ON id = transaction_id
         JOIN users ON users.user_id = transactions.user_id
         LEFT JOIN bank_accounts USING (bank_account_id)
    WHERE began_in_review AND transactions.kind = 'withdrawal' AND status = 'review' {after}
    ORDER BY transaction_id LIMIT :limit
"""
_OVERDUE: Final = sqlalchemy.text(
    """
    SELECT id, transactions.kind, status, saga_step, saga_step_at, saga_step_due_at,
           correlation_id, traceparent
    FROM open_sagas JOIN transactions ON id = transaction_id
    WHERE saga_step IS NOT NULL AND saga_step_due_at < :at
    ORDER BY saga_step_due_at LIMIT :limit
    """
)
_COUNT_SAGAS: Final = sqlalchemy.text(
    """
    SELECT transactions.kind, status, saga_step, count(*) AS waiting,
           min(saga_step_at) AS oldest_since,
           count(*) FILTER (WHERE saga_step_due_at < :at) AS overdue
    FROM open_sagas JOIN transactions ON id = transaction_id
    WHERE saga_step IS NOT NULL
    GROUP BY transactions.kind, status, saga_step ORDER BY transactions.kind, status, saga_step
    """
)
# A statement of its own, outside of any SERIALIZABLE unit: nobody who moves money reads this table.
# The lock keeps a saga that begins to wait again from slipping through between look and delete.
_FORGET_ENDED: Final = """
    DELETE FROM open_sagas WHERE transaction_id IN (
        SELECT transaction_id FROM open_sagas JOIN transactions ON id = transaction_id
        WHERE saga_step IS NULL LIMIT :limit
        FOR UPDATE OF transactions SKIP LOCKED
    ) RETURNING transaction_id
"""


def forget_ended_sagas(database: Database, *, limit: int) -> int:
    """Take sagas that wait for nothing any more off the list that the scanner looks at.

    Args:
        database: The service's own.
        limit: Most to take off at once.

    Returns:
        How many were taken off.

    Raises:
        Unavailable: the database is away.
    """
    return len(database.statement(_FORGET_ENDED, {"limit": limit}))


class PostgresTransactions:
    """See `wallet.use_cases.ports.Transactions`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def add(self, transaction: Transaction) -> None:
        self._store(_ADD, transaction)

    def save(self, transaction: Transaction) -> None:
        self._store(_SAVE, transaction)

    def find_for_update(self, transaction_id: str) -> Transaction | None:
        row = self._connection.execute(_FIND_FOR_UPDATE, {"id": transaction_id}).one_or_none()
        return None if row is None else _transaction(row)

    def save_all(self, transactions: Sequence[Transaction]) -> None:
        if not transactions:
            return
        changed = [_changeable(transaction) for transaction in transactions]
        events = [
            {"transaction_id": transaction.id, **line}
            for transaction in transactions
            for line in _lines(transaction)
        ]
        self._connection.execute(
            _SAVE_ALL,
            {
                "ids": [transaction.id for transaction in transactions],
                "changed": json.dumps(changed),
                "events": json.dumps(events),
            },
        )
        for transaction in transactions:
            transaction.unsaved_events.clear()

    def find_all_for_update(self, transaction_ids: Collection[str]) -> Mapping[str, Transaction]:
        if not transaction_ids:
            return {}
        rows = self._connection.execute(_FIND_ALL_FOR_UPDATE, {"ids": list(transaction_ids)})
        return {row.id: _transaction(row) for row in rows}

    def find_user_of(self, transaction_id: str) -> str | None:
        found: str | None = self._connection.execute(_USER_OF, {"id": transaction_id}).scalar()
        return found

    def find_of_user(self, *, user_id: str, transaction_id: str) -> Transaction | None:
        row = self._connection.execute(
            _FIND_OF_USER, {"id": transaction_id, "user_id": user_id}
        ).one_or_none()
        return None if row is None else _transaction(row)

    def timeline(self, transaction_id: str) -> Sequence[TimelineEvent]:
        rows = self._connection.execute(_TIMELINE, {"id": transaction_id})
        return [TimelineEvent(Status(row.status), row.at, row.cause, row.detail) for row in rows]

    def page(
        self,
        *,
        user_id: str,
        kind: TransactionKind | None,
        status: Status | None,
        before_id: str | None,
        limit: int,
    ) -> Sequence[Transaction]:
        wanted = {"kind": kind and kind.value, "status": status and status.value}
        filters = {name: value for name, value in wanted.items() if value is not None}
        conditions = [f"AND {name} = :{name}" for name in filters]
        if before_id is not None:
            conditions.append("AND id < :before_id")
        rows = self._connection.execute(
            sqlalchemy.text(_PAGE.format(conditions=" ".join(conditions))),
            {**filters, "user_id": user_id, "before_id": before_id, "limit": limit},
        )
        return [_transaction(row) for row in rows]

    def counted_since(
        self, *, user_id: str, kind: TransactionKind, currency: str, since: datetime
    ) -> Sequence[Counted]:
        rows = self._connection.execute(
            _COUNTED,
            {"user_id": user_id, "kind": kind.value, "currency": currency, "since": since},
        )
        return [Counted(row.at, Money(row.amount, currency), row[2]) for row in rows]

    def find_cancellable_of(self, user_id: str) -> Sequence[Transaction]:
        rows = self._connection.execute(_CANCELLABLE, {"user_id": user_id})
        return [_transaction(row) for row in rows]

    def page_in_review(self, *, after_id: str | None, limit: int) -> Sequence[WithdrawalInReview]:
        after = "" if after_id is None else "AND transaction_id > :after_id"
        rows = self._connection.execute(
            sqlalchemy.text(_IN_REVIEW.format(after=after)),
            {"limit": limit} | ({} if after_id is None else {"after_id": after_id}),
        )
        return [
            WithdrawalInReview(
                _transaction(row),
                row.masked_number and f"{row.bank_name} {row.masked_number}",
                row.account_is_usable,
                row.is_frozen,
            )
            for row in rows
        ]

    def overdue(self, *, at: datetime, limit: int) -> Sequence[OverdueSaga]:
        rows = self._connection.execute(_OVERDUE, {"at": at, "limit": limit})
        return [
            OverdueSaga(
                row.id,
                TransactionKind(row.kind),
                Status(row.status),
                row.saga_step,
                row.saga_step_at,
                row.saga_step_due_at,
                _origin(row),
            )
            for row in rows
        ]

    def count_sagas(self, *, at: datetime) -> Sequence[SagaCount]:
        rows = self._connection.execute(_COUNT_SAGAS, {"at": at})
        return [
            SagaCount(
                TransactionKind(row.kind),
                Status(row.status),
                row.saga_step,
                row.waiting,
                row.overdue,
                row.oldest_since,
            )
            for row in rows
        ]

    def _store(self, statement: sqlalchemy.TextClause, transaction: Transaction) -> None:
        self._connection.execute(statement, _parameters(transaction))
        transaction.unsaved_events.clear()


def _lines(transaction: Transaction) -> list[dict[str, str | None]]:
    return [
        {
            "status": event.status.value,
            "at": event.at.isoformat(),
            "cause": event.cause,
            "detail": event.detail,
        }
        for event in transaction.unsaved_events
    ]


def _changeable(transaction: Transaction) -> dict[str, str | None]:
    def text(instant: datetime | None) -> str | None:
        return None if instant is None else instant.isoformat()

    return {
        "id": transaction.id,
        "status": transaction.status.value,
        "updated_at": text(transaction.updated_at),
        "checkout_url": transaction.checkout_url,
        "checkout_expires_at": text(transaction.checkout_expires_at),
        "provider_id": transaction.provider_id,
        "reason_code": transaction.reason_code,
        "cancel_requested_at": text(transaction.cancel_requested_at),
        "saga_step": transaction.saga_step,
        "saga_step_at": text(transaction.saga_step_at),
        "saga_step_due_at": text(transaction.saga_step_due_at),
    }


def _parameters(transaction: Transaction) -> dict[str, object]:
    return {
        "id": transaction.id,
        "user_id": transaction.user_id,
        "kind": transaction.kind.value,
        "status": transaction.status.value,
        "amount": transaction.money.amount,
        "currency": transaction.money.currency,
        "created_at": transaction.created_at,
        "updated_at": transaction.updated_at,
        "checkout_url": transaction.checkout_url,
        "checkout_expires_at": transaction.checkout_expires_at,
        "bank_account_id": transaction.bank_account_id,
        "provider_id": transaction.provider_id,
        "reason_code": transaction.reason_code,
        "cancel_requested_at": transaction.cancel_requested_at,
        "saga_step": transaction.saga_step,
        "saga_step_at": transaction.saga_step_at,
        "saga_step_due_at": transaction.saga_step_due_at,
        "correlation_id": transaction.origin and transaction.origin.correlation_id,
        "traceparent": transaction.origin and transaction.origin.traceparent,
        "events": json.dumps(_lines(transaction)),
    }


def _transaction(row: Any) -> Transaction:
    return Transaction(
        id=row.id,
        user_id=row.user_id,
        kind=TransactionKind(row.kind),
        status=Status(row.status),
        money=Money(row.amount, row.currency),
        created_at=row.created_at,
        updated_at=row.updated_at,
        checkout_url=row.checkout_url,
        checkout_expires_at=row.checkout_expires_at,
        bank_account_id=row.bank_account_id,
        provider_id=row.provider_id,
        reason_code=row.reason_code,
        cancel_requested_at=row.cancel_requested_at,
        saga_step=row.saga_step,
        saga_step_at=row.saga_step_at,
        saga_step_due_at=row.saga_step_due_at,
        origin=_origin(row),
    )


def _origin(row: Any) -> WorkContext | None:
    if row.correlation_id is None:
        return None
    return WorkContext(correlation_id=row.correlation_id, traceparent=row.traceparent)
