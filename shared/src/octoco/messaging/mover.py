"""Copies of what failed, published to the service's own queues and confirmed, one by one."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pika
import pika.exceptions
import structlog

from octoco.messaging.connecting import Connect
from octoco.messaging.ports import BrokerUnavailable, Fate
from octoco.messaging.topology import Topology
from octoco.telemetry.metrics import EVENT_MOVES, EVENT_MOVES_WAITING

RETRY_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.2
CONFIRM_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """A message on its way to a queue of ours.

    Args:
        queue: Where to, through the default exchange.
        properties: Persistent.
        body: As it came.
        on_confirmed: Called once, in the mover's thread, when the broker has it.
        is_wanted: Whether anybody still waits for it; asked before each try.
    """

    queue: str
    properties: pika.BasicProperties
    body: bytes
    on_confirmed: Callable[[], None]
    is_wanted: Callable[[], bool]


class Mover:
    """Publishes copies on a connection of its own until each is confirmed or wanted no more.

    Of its own, because a broker that runs short of memory or disk stops reading from whoever
    publishes: acks on the same connection would stand still with it, and all consuming. A copy
    that is returned, refused or lost with its connection is tried again; at worst there are two.

    Args:
        connect: Makes the connection; there is none while there is nothing to move.
        topology: Declared again when a queue is missing.
    """

    def __init__(self, *, connect: Connect, topology: Topology) -> None:
        self._connect = connect
        self._topology = topology
        self._waiting: list[tuple[float, Copy]] = []
        self._ended = False
        self._changed = threading.Condition()
        self._log = structlog.get_logger("octoco.mover")

    def submit(self, copy: Copy) -> None:
        """Have a copy published, in time; returns at once."""
        with self._changed:
            self._waiting.append((0.0, copy))
            EVENT_MOVES_WAITING.set(len(self._waiting))
            self._changed.notify_all()

    def move(self, queue: str, properties: pika.BasicProperties, body: bytes) -> None:
        """Publish a copy and wait until it is confirmed.

        Raises:
            BrokerUnavailable: it is not, within ten seconds; it may still arrive.
        """
        confirmed, given_up = threading.Event(), threading.Event()
        self.submit(
            Copy(queue, properties, body, confirmed.set, is_wanted=lambda: not given_up.is_set())
        )
        if not confirmed.wait(CONFIRM_SECONDS):
            given_up.set()
            raise BrokerUnavailable("RabbitMQ has not confirmed the message in time.")

    @property
    def is_idle(self) -> bool:
        """Whether nothing that is still wanted waits to be confirmed."""
        with self._changed:
            self._forget_unwanted()
            return not self._waiting

    def end(self) -> None:
        """Let the thread that runs this go; what is not confirmed is given up."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def run(self) -> None:
        """Publish what is submitted, until the end."""
        while self._first_due(wait=True) is not None:
            try:
                self._publish_all()
            except (pika.exceptions.AMQPError, OSError) as error:
                self._log.warning("mover_lost_broker", error=type(error).__name__)
            except Exception:  # noqa: BLE001 - a thread that ends would be missed by nobody
                self._log.exception("mover_failed")
            with self._changed:
                self._changed.wait_for(lambda: self._ended, RETRY_SECONDS)

    def _publish_all(self) -> None:
        connection = self._connect()
        try:
            channel = connection.channel()
            # From here on publishing returns only when the broker has the message, and raises
            # if it has not.
            channel.confirm_delivery()
            idle_since = time.monotonic()
            while not self._ended and time.monotonic() - idle_since < CONFIRM_SECONDS:
                copy = self._first_due()
                if copy is None:
                    connection.process_data_events(time_limit=0)
                else:
                    self._publish(channel, copy)
                    idle_since = time.monotonic()
        finally:
            if connection.is_open:
                connection.close()

    def _publish(self, channel: Any, copy: Copy) -> None:
        fate = Fate.CONFIRMED
        # Whatever becomes of this one, the others have their turn before it is tried again.
        self._postpone(copy)
        try:
            channel.basic_publish("", copy.queue, copy.body, copy.properties, mandatory=True)
        except pika.exceptions.UnroutableError:
            fate = Fate.RETURNED
        except pika.exceptions.NackError:
            fate = Fate.REFUSED
        EVENT_MOVES.labels(queue=copy.queue, fate=fate).inc()
        if fate is Fate.CONFIRMED:
            self._done_with(copy)
            copy.on_confirmed()
            return
        self._log.error("copy_not_taken", queue=copy.queue, fate=fate)
        if fate is Fate.RETURNED:
            self._topology.declare(channel, ())

    def _first_due(self, *, wait: bool = False) -> Copy | None:
        """Return the first copy that is due, for a moment or until there is one."""
        until = time.monotonic() + POLL_SECONDS
        with self._changed:
            while not self._ended:
                self._forget_unwanted()
                now = time.monotonic()
                due = [copy for not_before, copy in self._waiting if not_before <= now]
                if due:
                    return due[0]
                if not wait and now >= until:
                    return None
                self._changed.wait(POLL_SECONDS)
        return None

    def _postpone(self, copy: Copy) -> None:
        with self._changed:
            self._waiting = [one for one in self._waiting if one[1] is not copy]
            self._waiting.append((time.monotonic() + RETRY_SECONDS, copy))

    def _done_with(self, copy: Copy) -> None:
        with self._changed:
            self._waiting = [one for one in self._waiting if one[1] is not copy]
            EVENT_MOVES_WAITING.set(len(self._waiting))

    def _forget_unwanted(self) -> None:
        self._waiting = [one for one in self._waiting if one[1].is_wanted()]
        EVENT_MOVES_WAITING.set(len(self._waiting))
