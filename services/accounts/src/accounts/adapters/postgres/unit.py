"""One unit of work of accounts: the shared mechanism and this service's stores."""

import sqlalchemy

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.credentials import PostgresCredentials, PostgresVerificationTokens
from accounts.adapters.postgres.sessions import PostgresRefreshTokens, PostgresSessions
from accounts.adapters.postgres.users import PostgresUsers
from octoco.clock import Clock
from octoco.database import PostgresUnit
from octoco.messaging.contracts import Contracts


class PostgresAccountsUnit(PostgresUnit):
    """See `accounts.use_cases.ports.AccountsUnit`."""

    def __init__(
        self, connection: sqlalchemy.Connection, *, contracts: Contracts, clock: Clock
    ) -> None:
        super().__init__(connection, contracts=contracts, clock=clock)
        self.users = PostgresUsers(connection)
        self.credentials = PostgresCredentials(connection)
        self.verification_tokens = PostgresVerificationTokens(connection)
        self.sessions = PostgresSessions(connection)
        self.refresh_tokens = PostgresRefreshTokens(connection)
        self.audit_log = PostgresAuditLog(connection)
