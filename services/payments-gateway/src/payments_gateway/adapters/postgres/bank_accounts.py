"""Bank accounts in PostgreSQL; the number is encrypted."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from payments_gateway.adapters.encryption import Encryption
from payments_gateway.adapters.postgres.statements import Statements
from payments_gateway.domain.bank_accounts import AccountType, BankAccount, BankAccountDetails


class PostgresBankAccounts:
    """See `payments_gateway.use_cases.ports.BankAccounts`."""

    def __init__(self, statements: Statements, encryption: Encryption) -> None:
        self._statements = statements
        self._encryption = encryption

    def find(self, bank_account_id: str) -> BankAccount | None:
        row = self._statements.one(_SELECT, bank_account_id=bank_account_id)
        return None if row is None else self._bank_account(row)

    def lock(self, bank_account_id: str) -> BankAccount | None:
        row = self._statements.one(f"{_SELECT} FOR UPDATE", bank_account_id=bank_account_id)
        return None if row is None else self._bank_account(row)

    def kept_by(self, user_id: str) -> Sequence[BankAccount]:
        rows = self._statements.all(
            """
            SELECT * FROM bank_accounts WHERE user_id = :user_id AND removed_at IS NULL
            ORDER BY created_at, bank_account_id
            """,
            user_id=user_id,
        )
        return [self._bank_account(row) for row in rows]

    def insert(self, bank_account: BankAccount) -> None:
        details = bank_account.details
        self._statements.run(
            """
            INSERT INTO bank_accounts (bank_account_id, user_id, account_holder, bank_name,
                branch_code, account_type, account_number_encrypted, created_at, verified_at)
            VALUES (:bank_account_id, :user_id, :account_holder, :bank_name,
                :branch_code, :account_type, :account_number_encrypted, :created_at, :verified_at)
            """,
            bank_account_id=bank_account.bank_account_id,
            user_id=bank_account.user_id,
            account_holder=details.account_holder,
            bank_name=details.bank_name,
            branch_code=details.branch_code,
            account_type=details.account_type.value,
            account_number_encrypted=self._encryption.encrypt(details.account_number),
            created_at=bank_account.created_at,
            verified_at=bank_account.verified_at,
        )

    def mark_removed(self, bank_account_id: str, *, at: datetime) -> None:
        self._statements.run(
            "UPDATE bank_accounts SET removed_at = :at WHERE bank_account_id = :bank_account_id",
            at=at,
            bank_account_id=bank_account_id,
        )

    def _bank_account(self, row: Any) -> BankAccount:
        return BankAccount(
            bank_account_id=row.bank_account_id,
            user_id=row.user_id,
            details=BankAccountDetails(
                account_holder=row.account_holder,
                bank_name=row.bank_name,
                branch_code=row.branch_code,
                account_number=self._encryption.decrypt(row.account_number_encrypted),
                account_type=AccountType(row.account_type),
            ),
            created_at=row.created_at,
            verified_at=row.verified_at,
            removed_at=row.removed_at,
        )


_SELECT = "SELECT * FROM bank_accounts WHERE bank_account_id = :bank_account_id"
