"""One unit of work of notifications: the shared mechanism and this service's stores."""

import sqlalchemy

from notifications.adapters.postgres.deliveries import PostgresDeliveries
from notifications.adapters.postgres.recipients import PostgresRecipients
from octoco.clock import Clock
from octoco.database import PostgresUnit
from octoco.messaging.contracts import Contracts


class PostgresNotificationsUnit(PostgresUnit):
    """See `notifications.use_cases.ports.NotificationsUnit`."""

    def __init__(
        self, connection: sqlalchemy.Connection, *, contracts: Contracts, clock: Clock
    ) -> None:
        super().__init__(connection, contracts=contracts, clock=clock)
        self.recipients = PostgresRecipients(connection)
        self.deliveries = PostgresDeliveries(connection)
