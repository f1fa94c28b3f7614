"""The outbox table: a message is a row in the unit of work that makes it true."""

import json

import sqlalchemy

from octoco.clock import Clock
from octoco.context import current_context
from octoco.events import OutboundMessage
from octoco.ids import new_id
from octoco.messaging.contracts import Contracts

_INSERT = sqlalchemy.text(
    """
    INSERT INTO outbox (message_id, event_type, aggregate_id, occurred_at, data,
                        correlation_id, causation_id, traceparent)
    VALUES (:message_id, :event_type, :aggregate_id, :occurred_at, CAST(:data AS jsonb),
            :correlation_id, :causation_id, :traceparent)
    """
)


class PostgresOutbox:
    """See `octoco.ports.Outbox`."""

    def __init__(
        self,
        connection: sqlalchemy.Connection,
        *,
        source: str,
        contracts: Contracts,
        clock: Clock,
    ) -> None:
        self._connection = connection
        self._source = source
        self._contracts = contracts
        self._clock = clock

    def add(self, message: OutboundMessage) -> str:
        row = self.prepare(message)
        self._connection.execute(_INSERT, {**row, "data": json.dumps(row["data"])})
        return str(row["message_id"])

    def prepare(self, message: OutboundMessage) -> dict[str, object]:
        """Check a message and return its row, for a SQL function that inserts it itself.

        Returns:
            JSON-ready values under the outbox table's column names.

        Raises:
            ContractViolation: the body does not fit the type's JSON Schema.
        """
        data = message.to_data()
        self._contracts.check(message.TYPE, data)
        context = current_context()
        return {
            "message_id": new_id("msg"),
            "event_type": message.TYPE,
            "aggregate_id": message.aggregate_id,
            "occurred_at": self._clock.now().isoformat(),
            "data": data,
            "correlation_id": context.correlation_id,
            "causation_id": context.causation_id,
            "traceparent": context.traceparent,
        }
