"""Units of work on PostgreSQL, with the mechanism every service's unit offers."""

from collections.abc import Callable
from typing import Generic, TypeVar

import sqlalchemy

from octoco.clock import Clock
from octoco.database.engine import Database
from octoco.database.idempotency_keys import PostgresIdempotencyKeys
from octoco.inbox.postgres import PostgresInbox
from octoco.intents.postgres import PostgresIntents
from octoco.messaging.contracts import Contracts
from octoco.outbox.postgres import PostgresOutbox
from octoco.spans import are_recorded, ended_at_commit

T = TypeVar("T")
U_co = TypeVar("U_co", covariant=True)


class PostgresUnit:
    """One open unit of work: what every service has in it. A service adds its own stores.

    Args:
        connection: Open in the unit's database transaction.
        contracts: Every outgoing message is checked against them.
        clock: Stamps messages and intents.
    """

    def __init__(
        self,
        connection: sqlalchemy.Connection,
        *,
        contracts: Contracts,
        clock: Clock,
    ) -> None:
        self.connection = connection
        self.outbox = PostgresOutbox(connection, contracts=contracts, clock=clock)
        self.inbox = PostgresInbox(connection)
        self.intents = PostgresIntents(connection, clock=clock)
        self.idempotency_keys = PostgresIdempotencyKeys(connection)


class PostgresUnitsOfWork(Generic[U_co]):
    """Makes units of work; see `octoco.ports.UnitsOfWork` for what they guarantee.

    Args:
        database: Where they run.
        open_unit: Builds the service's unit on an open connection.
        after_commit: Called once after each commit, outside of any unit; it may ring a bell and
            must not fail.
    """

    def __init__(
        self,
        database: Database,
        open_unit: Callable[[sqlalchemy.Connection], U_co],
        *,
        after_commit: Callable[[], None] | None = None,
    ) -> None:
        self._database = database
        self._open_unit = open_unit
        self._after_commit = after_commit

    def run(self, work: Callable[[U_co], T], *, contended_on: str | None = None) -> T:
        if not are_recorded():
            result = self._run(work, contended_on=contended_on, begin=lambda: None)
        else:
            with ended_at_commit() as stored:
                result = self._run(work, contended_on=contended_on, begin=stored.clear)
        if self._after_commit is not None:
            self._after_commit()
        return result

    def _run(
        self, work: Callable[[U_co], T], *, contended_on: str | None, begin: Callable[[], None]
    ) -> T:
        def attempt(connection: sqlalchemy.Connection) -> T:
            begin()
            return work(self._open_unit(connection))

        return self._database.run(attempt, contended_on=contended_on)

    def read(self, work: Callable[[U_co], T]) -> T:
        return self._database.read(lambda connection: work(self._open_unit(connection)))
