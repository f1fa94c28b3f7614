"""The wallet's unit of work on PostgreSQL."""

import sqlalchemy

from octoco.clock import Clock
from octoco.database import PostgresUnit
from octoco.messaging.contracts import Contracts
from wallet.adapters.postgres.adjustments import PostgresAdjustments
from wallet.adapters.postgres.books import PostgresBooks
from wallet.adapters.postgres.facts import (
    PostgresBankAccounts,
    PostgresMoneyFactAnswers,
    PostgresOperatorCases,
    PostgresUsers,
)
from wallet.adapters.postgres.fee_totals import PostgresFeeTotals
from wallet.adapters.postgres.ledger import PostgresLedger
from wallet.adapters.postgres.operator_decisions import PostgresOperatorDecisions
from wallet.adapters.postgres.transactions import PostgresTransactions


class PostgresWalletUnit(PostgresUnit):
    """See `wallet.use_cases.ports.WalletUnit`."""

    def __init__(
        self, connection: sqlalchemy.Connection, *, contracts: Contracts, clock: Clock
    ) -> None:
        super().__init__(connection, contracts=contracts, clock=clock)
        self.ledger = PostgresLedger(connection, self.outbox)
        self.books = PostgresBooks(connection)
        self.transactions = PostgresTransactions(connection)
        self.users = PostgresUsers(connection)
        self.bank_accounts = PostgresBankAccounts(connection)
        self.money_fact_answers = PostgresMoneyFactAnswers(connection)
        self.fee_totals = PostgresFeeTotals(connection)
        self.operator_cases = PostgresOperatorCases(connection)
        self.adjustments = PostgresAdjustments(connection)
        self.operator_decisions = PostgresOperatorDecisions(connection)
