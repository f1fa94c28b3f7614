"""A dead queue of the probe's, and ways to fill it and to look at it past the tools."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pika
import pytest

from octoco.database import Database
from octoco.messaging.dead_letters import DeadLetters
from octoco.messaging.topology import Topology

from .conftest import EVENT_TYPE

DIED_AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class DeadThings:
    """One service's dead queue on the real broker."""

    def __init__(self, url: str, topology: Topology, database: Database) -> None:
        self.url = url
        self.topology = topology
        self.database = database
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        topology.declare(self._channel, (EVENT_TYPE,))
        self._channel.confirm_delivery()

    def add(
        self,
        message_id: str | None,
        *,
        event_type: str = EVENT_TYPE,
        body: bytes = b'{"n": 1}',
        reason: str = "RuntimeError: broken",
        failed_at: datetime = DIED_AT,
        headers: Mapping[str, Any] | None = None,
    ) -> None:
        """Let something die as the consumer would."""
        at = failed_at.isoformat()
        told = {
            "cloudEvents_specversion": "1.0",
            "cloudEvents_id": message_id,
            "cloudEvents_type": event_type,
            "cloudEvents_source": "/probe",
            "cloudEvents_subject": "thing",
            "cloudEvents_time": "2026-11-22T12:00:00Z",
            "cloudEvents_correlationid": "cor_1",
            "cloudEvents_causationid": "msg_0",
            "x-octoco-attempt": 5,
            "x-octoco-reason": reason,
            "x-octoco-failed-at": at,
            "x-octoco-first-failed-at": at,
            "x-octoco-history": json.dumps([{"at": at, "attempt": 5, "reason": reason}]),
        }
        self.add_raw(message_id, body, {**told, **(headers or {})})

    def add_raw(
        self, message_id: str | None, body: bytes, headers: Mapping[str, Any] | None = None
    ) -> None:
        """Put anything into the dead queue."""
        properties = pika.BasicProperties(
            delivery_mode=2,
            message_id=message_id,
            content_type="application/json",
            headers=dict(headers) if headers is not None else None,
        )
        self._channel.basic_publish("", self.topology.dead_queue, body, properties, mandatory=True)

    def dead(self) -> list[str | None]:
        """Take everything out of the dead queue, in its order."""
        return [properties.message_id for properties, _ in self.drain(self.topology.dead_queue)]

    def replayed(self) -> list[str | None]:
        """Take everything out of the service's queue, in its order."""
        return [properties.message_id for properties, _ in self.drain(self.topology.queue)]

    def drain(self, queue: str) -> list[tuple[pika.BasicProperties, bytes]]:
        found: list[tuple[pika.BasicProperties, bytes]] = []
        while True:
            method, properties, body = self._channel.basic_get(queue, auto_ack=True)
            if method is None:
                return found
            found.append((properties, body))

    def depth(self, queue: str | None = None) -> int:
        name = queue or self.topology.dead_queue
        return int(self._channel.queue_declare(name, passive=True).method.message_count)

    @contextlib.contextmanager
    def letters(
        self, url: str | None = None, *, turn_seconds: float = 10.0
    ) -> Iterator[DeadLetters]:
        connection = pika.BlockingConnection(pika.URLParameters(url or self.url))
        try:
            yield DeadLetters(
                connection=connection,
                topology=self.topology,
                database=self.database,
                turn_seconds=turn_seconds,
            )
        finally:
            if connection.is_open:
                connection.close()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def things(
    amqp_url: str, topology_of: Callable[..., Topology], database: Database
) -> Iterator[DeadThings]:
    made = DeadThings(amqp_url, topology_of("probe"), database)
    yield made
    made.close()
