"""The small tables on PostgreSQL: users, bank accounts, answers to money facts, operator cases."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy

from octoco.ids import new_id
from octoco.money import Money
from wallet.domain.money_facts import BankAccount, MoneyFactAnswer, OperatorCase, Outcome
from wallet.domain.users import KnownUser

_REMEMBER_USER: Final = sqlalchemy.text(
    """
    INSERT INTO users (user_id, first_seen_at, registered_at, email_verified_at)
    VALUES (:user_id, :seen_at, :registered_at, :email_verified_at)
    ON CONFLICT (user_id) DO UPDATE SET
        registered_at = coalesce(users.registered_at, excluded.registered_at),
        email_verified_at = coalesce(users.email_verified_at, excluded.email_verified_at)
    """
)
_USER_EXISTS: Final = sqlalchemy.text("SELECT 1 FROM users WHERE user_id = :user_id")
_KNOWN_USERS: Final = sqlalchemy.text(
    "SELECT user_id FROM users WHERE user_id = ANY(CAST(:user_ids AS text[]))"
)
_IS_FROZEN: Final = (
    "frozen_at IS NOT NULL AND (unfrozen_at IS NULL OR frozen_at >= unfrozen_at) AS is_frozen"
)
_LOCK_USER: Final = sqlalchemy.text(
    f"SELECT {_IS_FROZEN} FROM users WHERE user_id = :user_id FOR UPDATE"
)
# The latest instant of each kind is kept, so that it does not matter in which order they come.
_NOTE_FROZEN: Final = sqlalchemy.text(
    f"""
    INSERT INTO users AS known (user_id, first_seen_at, frozen_at)
    VALUES (:user_id, :seen_at, :at)
    ON CONFLICT (user_id) DO UPDATE SET frozen_at = greatest(known.frozen_at, excluded.frozen_at)
    RETURNING {_IS_FROZEN}
    """
)
_NOTE_UNFROZEN: Final = sqlalchemy.text(
    f"""
    INSERT INTO users AS known (user_id, first_seen_at, unfrozen_at)
    VALUES (:user_id, :seen_at, :at)
    ON CONFLICT (user_id) DO UPDATE
    SET unfrozen_at = greatest(known.unfrozen_at, excluded.unfrozen_at)
    RETURNING {_IS_FROZEN}
    """
)

_REMEMBER_VERIFIED: Final = sqlalchemy.text(
    """
    INSERT INTO bank_accounts (bank_account_id, user_id, masked_number, bank_name, verified_at)
    VALUES (:bank_account_id, :user_id, :masked_number, :bank_name, :verified_at)
    ON CONFLICT (bank_account_id) DO UPDATE SET
        masked_number = excluded.masked_number, bank_name = excluded.bank_name,
        verified_at = excluded.verified_at
    WHERE bank_accounts.user_id = excluded.user_id
    """
)
_REMEMBER_REMOVED: Final = sqlalchemy.text(
    """
    INSERT INTO bank_accounts (bank_account_id, user_id, removed_at)
    VALUES (:bank_account_id, :user_id, :removed_at)
    ON CONFLICT (bank_account_id) DO UPDATE
    SET removed_at = coalesce(bank_accounts.removed_at, excluded.removed_at)
    WHERE bank_accounts.user_id = excluded.user_id
    """
)
_FIND_BANK_ACCOUNT: Final = sqlalchemy.text(
    """
    SELECT bank_account_id, user_id, verified_at IS NOT NULL AND removed_at IS NULL AS is_usable
    FROM bank_accounts WHERE bank_account_id = :bank_account_id
    """
)

_FIND_ANSWER: Final = sqlalchemy.text("SELECT * FROM money_fact_answers WHERE fact_key = :fact_key")
_FIND_ANSWERS: Final = sqlalchemy.text(
    "SELECT * FROM money_fact_answers WHERE fact_key = ANY(CAST(:fact_keys AS text[]))"
)
# In one order everywhere, so that two units which share facts wait and do not deadlock.
_ADD_ANSWERS: Final = sqlalchemy.text(
    """
    INSERT INTO money_fact_answers
        (fact_key, amount, currency, outcome, code, transaction_id, answered_at)
    SELECT fact_key, amount, currency, outcome, code, transaction_id, answered_at
    FROM jsonb_to_recordset(CAST(:answers AS jsonb)) AS a (
        fact_key text, amount numeric, currency text, outcome text, code text,
        transaction_id text, answered_at timestamptz)
    ORDER BY fact_key
    ON CONFLICT (fact_key) DO NOTHING RETURNING fact_key
    """
)
_ADD_ANSWER: Final = sqlalchemy.text(
    """
    INSERT INTO money_fact_answers
        (fact_key, amount, currency, outcome, code, transaction_id, answered_at)
    VALUES (:fact_key, :amount, :currency, :outcome, :code, :transaction_id, :answered_at)
    """
)

_OPEN_CASE: Final = sqlalchemy.text(
    """
    INSERT INTO operator_cases
        (id, kind, subject, transaction_id, amount, currency, detail, opened_at)
    VALUES (:id, :kind, :subject, :transaction_id, :amount, :currency, :detail, :opened_at)
    ON CONFLICT (kind, subject) DO NOTHING
    """
)
_CLOSE_CASES: Final = sqlalchemy.text(
    """
    UPDATE operator_cases
    SET status = 'closed', closed_at = :at, closed_by = :by, closed_reason = :reason
    WHERE subject = :subject AND status = 'open'
    """
)
_COUNT_CASES: Final = sqlalchemy.text(
    "SELECT kind, count(*) AS open FROM operator_cases WHERE status = 'open' GROUP BY kind"
)


class PostgresUsers:
    """See `wallet.use_cases.ports.Users`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def remember(
        self,
        *,
        user_id: str,
        seen_at: datetime,
        registered_at: datetime | None = None,
        email_verified_at: datetime | None = None,
    ) -> None:
        self._connection.execute(
            _REMEMBER_USER,
            {
                "user_id": user_id,
                "seen_at": seen_at,
                "registered_at": registered_at,
                "email_verified_at": email_verified_at,
            },
        )

    def exists(self, user_id: str) -> bool:
        return self._connection.execute(_USER_EXISTS, {"user_id": user_id}).scalar() is not None

    def known(self, user_ids: Collection[str]) -> frozenset[str]:
        if not user_ids:
            return frozenset()
        rows = self._connection.execute(_KNOWN_USERS, {"user_ids": list(user_ids)})
        return frozenset(rows.scalars())

    def lock(self, user_id: str) -> KnownUser | None:
        row = self._connection.execute(_LOCK_USER, {"user_id": user_id}).one_or_none()
        return None if row is None else KnownUser(user_id, row.is_frozen)

    def note_frozen(self, *, user_id: str, seen_at: datetime, frozen_at: datetime) -> KnownUser:
        return self._note(_NOTE_FROZEN, user_id, seen_at, frozen_at)

    def note_unfrozen(self, *, user_id: str, seen_at: datetime, unfrozen_at: datetime) -> KnownUser:
        return self._note(_NOTE_UNFROZEN, user_id, seen_at, unfrozen_at)

    def _note(
        self, statement: sqlalchemy.TextClause, user_id: str, seen_at: datetime, at: datetime
    ) -> KnownUser:
        is_frozen = self._connection.execute(
            statement, {"user_id": user_id, "seen_at": seen_at, "at": at}
        ).scalar_one()
        return KnownUser(user_id, is_frozen)


class PostgresBankAccounts:
    """See `wallet.use_cases.ports.BankAccounts`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def remember_verified(
        self,
        *,
        bank_account_id: str,
        user_id: str,
        masked_number: str,
        bank_name: str,
        verified_at: datetime,
    ) -> None:
        self._connection.execute(
            _REMEMBER_VERIFIED,
            {
                "bank_account_id": bank_account_id,
                "user_id": user_id,
                "masked_number": masked_number,
                "bank_name": bank_name,
                "verified_at": verified_at,
            },
        )

    def remember_removed(self, *, bank_account_id: str, user_id: str, removed_at: datetime) -> None:
        self._connection.execute(
            _REMEMBER_REMOVED,
            {"bank_account_id": bank_account_id, "user_id": user_id, "removed_at": removed_at},
        )

    def find(self, bank_account_id: str) -> BankAccount | None:
        row = self._connection.execute(
            _FIND_BANK_ACCOUNT, {"bank_account_id": bank_account_id}
        ).one_or_none()
        return None if row is None else BankAccount(row.bank_account_id, row.user_id, row.is_usable)


class PostgresMoneyFactAnswers:
    """See `wallet.use_cases.ports.MoneyFactAnswers`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def find(self, fact_key: str) -> MoneyFactAnswer | None:
        row = self._connection.execute(_FIND_ANSWER, {"fact_key": fact_key}).one_or_none()
        return None if row is None else _answer(row)

    def find_all(self, fact_keys: Collection[str]) -> Mapping[str, MoneyFactAnswer]:
        if not fact_keys:
            return {}
        rows = self._connection.execute(_FIND_ANSWERS, {"fact_keys": list(fact_keys)})
        return {row.fact_key: _answer(row) for row in rows}

    def add(self, answer: MoneyFactAnswer) -> None:
        self._connection.execute(_ADD_ANSWER, _answer_row(answer))

    def add_all(self, answers: Sequence[MoneyFactAnswer]) -> frozenset[str]:
        if not answers:
            return frozenset()
        rows = [
            {
                **_answer_row(answer),
                "amount": str(answer.money.amount),
                "answered_at": answer.answered_at.isoformat(),
            }
            for answer in answers
        ]
        stored = self._connection.execute(_ADD_ANSWERS, {"answers": json.dumps(rows)})
        return frozenset(stored.scalars())


def _answer_row(answer: MoneyFactAnswer) -> dict[str, object]:
    return {
        "fact_key": answer.fact_key,
        "amount": answer.money.amount,
        "currency": answer.money.currency,
        "outcome": answer.outcome.value,
        "code": answer.code,
        "transaction_id": answer.transaction_id,
        "answered_at": answer.answered_at,
    }


def _answer(row: Any) -> MoneyFactAnswer:
    return MoneyFactAnswer(
        fact_key=row.fact_key,
        money=Money(row.amount, row.currency),
        outcome=Outcome(row.outcome),
        code=row.code,
        transaction_id=row.transaction_id,
        answered_at=row.answered_at,
    )


class PostgresOperatorCases:
    """See `wallet.use_cases.operator_ports.OperatorCases`."""

    def __init__(self, connection: sqlalchemy.Connection) -> None:
        self._connection = connection

    def open(self, case: OperatorCase) -> bool:
        opened = self._connection.execute(
            _OPEN_CASE,
            {
                "id": new_id("case"),
                "kind": case.kind,
                "subject": case.subject,
                "transaction_id": case.transaction_id,
                "amount": case.money and case.money.amount,
                "currency": case.money and case.money.currency,
                "detail": case.detail,
                "opened_at": case.opened_at,
            },
        )
        return opened.rowcount == 1

    def close(self, *, subject: str, by: str, reason: str, at: datetime) -> int:
        closed = self._connection.execute(
            _CLOSE_CASES, {"subject": subject, "by": by, "reason": reason, "at": at}
        )
        return closed.rowcount

    def count_open(self) -> Mapping[str, int]:
        return {row.kind: row.open for row in self._connection.execute(_COUNT_CASES)}
