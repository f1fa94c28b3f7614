"""The outbox table: a message is a row in the unit of work that makes it true."""

import json
from collections.abc import Sequence

import sqlalchemy

from octoco.clock import Clock
from octoco.context import WorkContext, current_context
from octoco.events import OutboundMessage
from octoco.ids import new_id
from octoco.messaging.contracts import Contracts
from octoco.spans import hand_on

_INSERT = sqlalchemy.text(
    """
    INSERT INTO outbox (message_id, event_type, aggregate_id, occurred_at, data,
                        correlation_id, causation_id, traceparent)
    VALUES (:message_id, :event_type, :aggregate_id, :occurred_at, CAST(:data AS jsonb),
            :correlation_id, :causation_id, :traceparent)
    """
)
_INSERT_ALL = sqlalchemy.text(
    """
    INSERT INTO outbox (message_id, event_type, aggregate_id, occurred_at, data,
                        correlation_id, causation_id, traceparent)
    SELECT m.message_id, m.event_type, m.aggregate_id, m.occurred_at, m.data,
           m.correlation_id, m.causation_id, m.traceparent
    FROM ROWS FROM (
        jsonb_to_recordset(CAST(:messages AS jsonb)) AS (
            message_id text, event_type text, aggregate_id text, occurred_at timestamptz,
            data jsonb, correlation_id text, causation_id text, traceparent text)
    ) WITH ORDINALITY AS m (message_id, event_type, aggregate_id, occurred_at, data,
                            correlation_id, causation_id, traceparent, place)
    ORDER BY m.place
    """
)


class OutboxRows:
    """Turns messages into rows of the outbox table.

    Args:
        contracts: Every message is checked against them.
        clock: Says when it happened.
    """

    def __init__(self, *, contracts: Contracts, clock: Clock) -> None:
        self._contracts = contracts
        self._clock = clock

    def row_of(
        self, message: OutboundMessage, *, context: WorkContext | None = None
    ) -> dict[str, object]:
        """Check a message and return its row.

        Args:
            message: To be stored.
            context: Of which work it is; None for the work under way.

        Returns:
            JSON-ready values under the outbox table's column names.

        Raises:
            ContractViolation: the body does not fit the type's JSON Schema.
        """
        data = message.to_data()
        self._contracts.check_outbound(message.TYPE, data)
        context = context or current_context()
        message_id = new_id("msg")
        traceparent = hand_on(
            f"create {message.TYPE}",
            context=context,
            attributes={
                "messaging.system": "rabbitmq",
                "messaging.operation.name": "create",
                "messaging.operation.type": "create",
                "messaging.rabbitmq.destination.routing_key": message.TYPE,
                "messaging.message.id": message_id,
                "messaging.message.conversation_id": context.correlation_id,
                "octoco.aggregate_id": message.aggregate_id,
            },
        )
        return {
            "message_id": message_id,
            "event_type": message.TYPE,
            "aggregate_id": message.aggregate_id,
            "occurred_at": self._clock.now().isoformat(),
            "data": data,
            "correlation_id": context.correlation_id,
            "causation_id": context.causation_id,
            "traceparent": traceparent,
        }


class PostgresOutbox:
    """See `octoco.ports.Outbox`."""

    def __init__(
        self, connection: sqlalchemy.Connection, *, contracts: Contracts, clock: Clock
    ) -> None:
        self._connection = connection
        self._rows = OutboxRows(contracts=contracts, clock=clock)

    def add(self, message: OutboundMessage) -> str:
        row = self.prepare(message)
        self._connection.execute(_INSERT, {**row, "data": json.dumps(row["data"])})
        return str(row["message_id"])

    def add_all(
        self,
        messages: Sequence[OutboundMessage],
        *,
        contexts: Sequence[WorkContext] | None = None,
    ) -> Sequence[str]:
        if not messages:
            return []
        if contexts is None:
            contexts = [current_context()] * len(messages)
        rows = [
            self.prepare(message, context=context)
            for message, context in zip(messages, contexts, strict=True)
        ]
        self._connection.execute(_INSERT_ALL, {"messages": json.dumps(rows)})
        return [str(row["message_id"]) for row in rows]

    def prepare(
        self, message: OutboundMessage, *, context: WorkContext | None = None
    ) -> dict[str, object]:
        """Return a message's row for a SQL function that inserts it itself; see `OutboxRows`."""
        return self._rows.row_of(message, context=context)
