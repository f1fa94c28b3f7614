"""What a worker sees of its service's queues: their depths as metrics, and bindings kept up."""

import threading
import time
from collections.abc import Collection
from typing import Any, Final

import pika.exceptions
import structlog

from octoco.messaging.connecting import Connect
from octoco.messaging.overview import queue_depths
from octoco.messaging.topology import Topology
from octoco.messaging.topology_check import refusal_of
from octoco.telemetry.metrics import QUEUE_CONSUMERS, QUEUE_MESSAGES, TOPOLOGY_DIFFERS

WATCH_EVERY_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.5
CONNECT_AGAIN_SECONDS: Final = 5.0


class QueueWatch:
    """Asks for depths and declares the topology again, on a connection of its own.

    Declaring changes nothing where all is as it should be. A binding that somebody deleted is back
    within seconds; AMQP does not tell that it was gone. What no queue took meanwhile was returned
    to its relay, which has kept it.

    Args:
        connect: Makes the connection.
        topology: Names the queues.
        event_types: What the service listens to.
    """

    def __init__(
        self, *, connect: Connect, topology: Topology, event_types: Collection[str]
    ) -> None:
        self._connect = connect
        self._topology = topology
        self._event_types = event_types
        self._log = structlog.get_logger("octoco.queues")

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop` is set; while the broker is away there are no values."""
        while not stop.is_set():
            try:
                connection = self._connect()
                try:
                    while not stop.is_set():
                        self.look(connection)
                        _keep_alive(connection, stop)
                finally:
                    if connection.is_open:
                        connection.close()
            except (pika.exceptions.AMQPError, OSError) as error:
                self._log.warning("queues_not_seen", error=type(error).__name__)
            # An old depth would be taken for today's.
            QUEUE_MESSAGES.clear()
            QUEUE_CONSUMERS.clear()
            stop.wait(CONNECT_AGAIN_SECONDS)

    def look(self, connection: Any) -> None:
        """Measure once, and declare what is missing.

        Raises:
            pika.exceptions.AMQPError: the broker is away.
        """
        self._declare(connection)
        for queue in queue_depths(connection, self._topology):
            if queue.messages is not None:
                QUEUE_MESSAGES.labels(queue=queue.name).set(queue.messages)
                QUEUE_CONSUMERS.labels(queue=queue.name).set(queue.consumers)

    def _declare(self, connection: Any) -> None:
        channel = connection.channel()
        try:
            self._topology.declare(channel, self._event_types)
        except pika.exceptions.ChannelClosedByBroker as error:
            TOPOLOGY_DIFFERS.set(1)
            self._log.error("topology_differs", difference=refusal_of(error))
            return
        TOPOLOGY_DIFFERS.set(0)
        channel.close()


def _keep_alive(connection: Any, stop: threading.Event) -> None:
    """Wait until the next look, and answer heartbeats meanwhile: they come more often."""
    until = time.monotonic() + WATCH_EVERY_SECONDS
    while not stop.is_set() and time.monotonic() < until:
        connection.process_data_events(time_limit=POLL_SECONDS)
