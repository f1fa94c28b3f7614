"""One unit of work of the payments gateway on PostgreSQL."""

from typing import Final

import sqlalchemy

from octoco.clock import Clock
from octoco.database import PostgresUnit
from octoco.messaging.contracts import Contracts
from payments_gateway.adapters.encryption import Encryption
from payments_gateway.adapters.postgres.bank_accounts import PostgresBankAccounts
from payments_gateway.adapters.postgres.checkouts import PostgresCheckouts, PostgresPurchases
from payments_gateway.adapters.postgres.payouts import PostgresPayouts
from payments_gateway.adapters.postgres.records import (
    PostgresCases,
    PostgresKnownUsers,
    PostgresMoneyFacts,
    PostgresTombstones,
)
from payments_gateway.adapters.postgres.statements import Statements
from payments_gateway.adapters.postgres.webhooks import (
    PostgresWebhookDeliveries,
    PostgresWebhookRegistrations,
)

SERVICE: Final = "payments-gateway"


class GatewayUnit(PostgresUnit):
    """See `payments_gateway.use_cases.ports.Unit`.

    Args:
        connection: Open in the unit's database transaction.
        contracts: Every outgoing message is checked against them.
        clock: Stamps messages and intents.
        encryption: For what is encrypted at rest.
    """

    def __init__(
        self,
        connection: sqlalchemy.Connection,
        *,
        contracts: Contracts,
        clock: Clock,
        encryption: Encryption,
    ) -> None:
        super().__init__(connection, contracts=contracts, clock=clock)
        statements = Statements(connection)
        self.users = PostgresKnownUsers(statements)
        self.checkouts = PostgresCheckouts(statements)
        self.purchases = PostgresPurchases(statements)
        self.payouts = PostgresPayouts(statements, encryption)
        self.bank_accounts = PostgresBankAccounts(statements, encryption)
        self.money_facts = PostgresMoneyFacts(statements)
        self.cases = PostgresCases(statements)
        self.deliveries = PostgresWebhookDeliveries(statements)
        self.registrations = PostgresWebhookRegistrations(statements)
        self.tombstones = PostgresTombstones(statements)
