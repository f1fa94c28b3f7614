"""Users, money facts, cases and tombstones in PostgreSQL."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from payments_gateway.adapters.postgres.statements import Statements, optional_money
from payments_gateway.domain.cases import Case, CaseKind, CaseStatus
from payments_gateway.domain.money_facts import MoneyFact
from payments_gateway.use_cases.ports import KnownUser


class PostgresKnownUsers:
    """See `payments_gateway.use_cases.ports.KnownUsers`."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def find(self, user_id: str) -> KnownUser | None:
        row = self._statements.one(
            "SELECT * FROM known_users WHERE user_id = :user_id", user_id=user_id
        )
        if row is None:
            return None
        return KnownUser(
            user_id=row.user_id, email=row.email, full_name=row.full_name, as_of=row.as_of
        )

    def keep(self, user: KnownUser) -> None:
        self._statements.run(
            """
            INSERT INTO known_users (user_id, email, full_name, as_of)
            VALUES (:user_id, :email, :full_name, :as_of)
            ON CONFLICT (user_id) DO UPDATE SET email = excluded.email,
                full_name = excluded.full_name, as_of = excluded.as_of
            WHERE known_users.as_of < excluded.as_of
            """,
            user_id=user.user_id,
            email=user.email,
            full_name=user.full_name,
            as_of=user.as_of,
        )


class PostgresMoneyFacts:
    """See `payments_gateway.use_cases.ports.MoneyFacts`."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def insert(self, fact: MoneyFact) -> bool:
        inserted = self._statements.run(
            """
            INSERT INTO money_facts (fact_key, type, data, transaction_id, created_at)
            VALUES (:fact_key, :type, CAST(:data AS jsonb), :transaction_id, :created_at)
            ON CONFLICT (fact_key) DO NOTHING
            """,
            fact_key=fact.fact_key,
            type=fact.type,
            data=json.dumps(dict(fact.data)),
            transaction_id=fact.transaction_id,
            created_at=fact.created_at,
        )
        return inserted == 1

    def lock(self, fact_key: str) -> MoneyFact | None:
        row = self._statements.one(
            "SELECT * FROM money_facts WHERE fact_key = :fact_key FOR UPDATE", fact_key=fact_key
        )
        return None if row is None else _money_fact(row)

    def save(self, fact: MoneyFact) -> None:
        self._statements.run(
            """
            UPDATE money_facts SET told_count = :told_count, answered_at = :answered_at,
                outcome = :outcome, code = :code
            WHERE fact_key = :fact_key
            """,
            fact_key=fact.fact_key,
            told_count=fact.told_count,
            answered_at=fact.answered_at,
            outcome=fact.outcome,
            code=fact.code,
        )

    def gone_back(self, purchase_id: str) -> Sequence[MoneyFact]:
        rows = self._statements.all(
            """
            SELECT * FROM money_facts
            WHERE data ->> 'purchase_id' = :purchase_id
              AND type IN ('payments.refund.succeeded.v1', 'payments.chargeback.opened.v1')
            ORDER BY fact_key
            """,
            purchase_id=purchase_id,
        )
        return [_money_fact(row) for row in rows]

    def oldest_unanswered_at(self) -> datetime | None:
        row = self._statements.one(
            "SELECT min(created_at) AS oldest FROM money_facts WHERE answered_at IS NULL"
        )
        return None if row is None else row.oldest


def _money_fact(row: Any) -> MoneyFact:
    return MoneyFact(
        fact_key=row.fact_key,
        type=row.type,
        data=row.data,
        created_at=row.created_at,
        transaction_id=row.transaction_id,
        told_count=row.told_count,
        answered_at=row.answered_at,
        outcome=row.outcome,
        code=row.code,
    )


class PostgresCases:
    """See `payments_gateway.use_cases.ports.Cases`."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def open(self, case: Case) -> bool:
        inserted = self._statements.run(
            """
            INSERT INTO cases (kind, subject_id, transaction_id, amount, currency, evidence,
                               opened_at)
            VALUES (:kind, :subject_id, :transaction_id, :amount, :currency,
                    CAST(:evidence AS jsonb), :opened_at)
            ON CONFLICT (kind, subject_id) DO NOTHING
            """,
            kind=case.kind.value,
            subject_id=case.subject_id,
            transaction_id=case.transaction_id,
            amount=None if case.money is None else case.money.amount,
            currency=None if case.money is None else case.money.currency,
            evidence=json.dumps(dict(case.evidence)),
            opened_at=case.opened_at,
        )
        return inserted == 1

    def open_ones(self, *, limit: int) -> Sequence[Case]:
        rows = self._statements.all(
            "SELECT * FROM cases WHERE status = 'open' ORDER BY id DESC LIMIT :limit", limit=limit
        )
        return [_case(row) for row in rows]

    def count_open(self) -> dict[str, int]:
        rows = self._statements.all(
            "SELECT kind, count(*) AS cases FROM cases WHERE status = 'open' GROUP BY kind"
        )
        return {row.kind: row.cases for row in rows}


class PostgresTombstones:
    """See `payments_gateway.use_cases.ports.Tombstones`."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def bury(self, transaction_id: str) -> None:
        self._statements.run(
            "INSERT INTO tombstones (transaction_id) VALUES (:transaction_id)"
            " ON CONFLICT DO NOTHING",
            transaction_id=transaction_id,
        )

    def holds(self, transaction_id: str) -> bool:
        row = self._statements.one(
            "SELECT 1 FROM tombstones WHERE transaction_id = :transaction_id",
            transaction_id=transaction_id,
        )
        return row is not None


def _case(row: Any) -> Case:
    return Case(
        kind=CaseKind(row.kind),
        subject_id=row.subject_id,
        opened_at=row.opened_at,
        transaction_id=row.transaction_id,
        money=optional_money(row.amount, row.currency),
        evidence=row.evidence,
        status=CaseStatus(row.status),
    )
