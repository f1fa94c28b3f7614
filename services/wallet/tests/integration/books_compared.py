"""All that the wallet has stored about money, and all that the model says it must have."""

from typing import Any

from wallet.adapters.postgres.ledger_audit import findings_on
from wallet.bootstrap import Wallet

from .wallet_model import WalletModel


def assert_sound(wallet: Wallet) -> None:
    """Check everything that `wallet ledger verify` checks."""
    findings = wallet.database.read(lambda c: findings_on(c, on_check=lambda _: None))
    assert [(one.check.name, one.row) for one in findings if not one.holds] == []


def what_is_expected(model: WalletModel) -> dict[str, Any]:
    books = model.books
    return {
        "purses": {
            (user_id, currency): (
                purse.available.amount,
                purse.held.amount,
                purse.receivable.amount,
            )
            for (user_id, currency), purse in books.purses.items()
        },
        "system": {
            where: money.amount for where, money in books.system.items() if not money.is_zero
        },
        "transfers": {
            key: (one.kind, one.user_id, one.money.amount, one.money.currency, one.subject)
            for key, one in books.posted.items()
        },
        "transactions": {key: asked.status for key, asked in model.transactions.items()},
    }


def what_is_stored(connection: Any) -> dict[str, Any]:
    def rows(query: str) -> Any:
        return connection.exec_driver_sql(query)

    return {
        "purses": {
            (row.user_id, row.currency): (row.available, row.held, row.receivable)
            for row in rows(
                """
                SELECT user_id, currency,
                       max(balance) FILTER (WHERE kind = 'available') AS available,
                       max(balance) FILTER (WHERE kind = 'held') AS held,
                       max(balance) FILTER (WHERE kind = 'receivable') AS receivable
                FROM ledger_accounts WHERE user_id IS NOT NULL GROUP BY user_id, currency
                """
            )
        },
        "system": {
            (row.kind, row.currency): row.balance
            for row in rows(
                """
                SELECT a.kind, a.currency, sum(e.amount) AS balance
                FROM entries e JOIN ledger_accounts a ON a.id = e.ledger_account_id
                WHERE a.user_id IS NULL GROUP BY a.kind, a.currency HAVING sum(e.amount) <> 0
                """
            )
        },
        "transfers": {
            row.business_key: (row.kind, row.user_id, row.amount, row.currency, row.subject)
            for row in rows(
                "SELECT business_key, kind, user_id, amount, currency, subject FROM transfers"
            )
        },
        "transactions": {row.id: row.status for row in rows("SELECT id, status FROM transactions")},
    }
