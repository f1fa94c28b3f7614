"""RabbitMQ in memory: what this library uses of it, behind the same calls of pika.

A `MemoryChannel` takes the calls of pika's blocking channel, so that a topology is declared, a
delivery settled and a dead message replayed by the code that does it on the real one.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import pika
import pika.exceptions
from pika.adapters.blocking_connection import ReturnedMessage
from pika.spec import Basic

from octoco.clock import Clock, SystemClock
from octoco.testing.memory_queues import (
    HandedOut,
    MemoryQueue,
    QueueConsumer,
    QueuedMessage,
    dead_lettered,
    give_back,
    topic_matches,
)

NOT_FOUND: Final = 404
PRECONDITION_FAILED: Final = 406
CONNECTION_FORCED: Final = 320
NO_ROUTE: Final = 312
_LOOK_SECONDS: Final = 0.02


class MemoryBroker:
    """Exchanges, queues and connections; every message survives a stop, as a quorum queue's does.

    Args:
        clock: Moves the retry tiers; a test that stands still hands in a `FixedClock`.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.queues: dict[str, MemoryQueue] = {}
        self.bindings: dict[str, list[tuple[str, str]]] = {}
        self.full: set[str] = set()
        self.changed = threading.Condition(threading.RLock())
        self._connections: list[MemoryConnection] = []
        self._is_up = True

    @property
    def is_up(self) -> bool:
        return self._is_up

    def connect(self) -> "MemoryConnection":
        """Return a new connection, as `pika.BlockingConnection` is one.

        Raises:
            pika.exceptions.AMQPConnectionError: the broker is stopped.
        """
        if not self._is_up:
            raise pika.exceptions.AMQPConnectionError("the broker is stopped")
        connection = MemoryConnection(self)
        self._connections.append(connection)
        return connection

    def stop(self) -> None:
        """End every connection, without a word to who uses it; nothing is lost."""
        self._is_up = False
        for connection in list(self._connections):
            connection.drop()

    def start(self) -> None:
        """Take connections again."""
        self._is_up = True

    def publish(self, message: QueuedMessage) -> list[MemoryQueue]:
        """Store a message in each queue that takes it.

        Returns:
            These queues; none means that it would be returned.

        Raises:
            KeyError: there is no such exchange.
        """
        with self.changed:
            taken = self._route(message.exchange, message.routing_key)
            now = self.clock.now()
            for queue in taken:
                copy = QueuedMessage(
                    message.exchange, message.routing_key, message.properties, message.body
                )
                queue.put(copy, now=now)
            self.changed.notify_all()
            return taken

    def is_refused(self, exchange: str, routing_key: str) -> bool:
        """Say whether a queue that would take a message is full and refuses it.

        Args:
            exchange: Where it would be published.
            routing_key: With which.

        Raises:
            KeyError: there is no such exchange.
        """
        return any(queue.name in self.full for queue in self._route(exchange, routing_key))

    def let_time_pass(self) -> None:
        """Move what has expired by now from the retry tiers to where it came from."""
        with self.changed:
            for queue in list(self.queues.values()):
                queue.expire(now=self.clock.now())

    def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue, those handed out not counted."""
        self.let_time_pass()
        return len(self.queues[queue].ready)

    def unbind(self, queue: str, event_type: str) -> None:
        """Delete a binding, as an accident would: from every exchange.

        Args:
            queue: That shall not get it any more.
            event_type: What.
        """
        for bindings in self.bindings.values():
            if (event_type, queue) in bindings:
                bindings.remove((event_type, queue))

    def forget(self, connection: "MemoryConnection") -> None:
        if connection in self._connections:
            self._connections.remove(connection)

    def make_queue(self, name: str, arguments: Mapping[str, Any]) -> MemoryQueue:
        queue = MemoryQueue(name, arguments, dead_letter=self._dead_letter)
        self.queues[name] = queue
        return queue

    def delete_queue(self, name: str) -> None:
        self.queues.pop(name, None)
        for bindings in self.bindings.values():
            bindings[:] = [binding for binding in bindings if binding[1] != name]
        for connection in list(self._connections):
            connection.lose_queue(name)

    def _route(self, exchange: str, routing_key: str) -> list[MemoryQueue]:
        if not exchange:
            return [self.queues[routing_key]] if routing_key in self.queues else []
        names = [
            name for pattern, name in self.bindings[exchange] if topic_matches(pattern, routing_key)
        ]
        # Bound twice, a queue takes a message once.
        return [self.queues[name] for name in dict.fromkeys(names)]

    def _dead_letter(self, message: QueuedMessage, queue: MemoryQueue, reason: str) -> None:
        moved = dead_lettered(message, queue, reason)
        if moved is not None:
            self.publish(moved)


class MemoryConnection:
    """What a `pika.BlockingConnection` is to its user."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._channels: list[MemoryChannel] = []
        self._callbacks: list[Callable[[], object]] = []
        self.is_open = True

    def channel(self) -> "MemoryChannel":
        """Open a channel."""
        self.check_open()
        channel = MemoryChannel(self, self._broker, number=len(self._channels) + 1)
        self._channels.append(channel)
        return channel

    def process_data_events(self, time_limit: float | None = 0) -> None:
        """Run what other threads asked for and deliver what has come; wait for it if need be.

        Args:
            time_limit: How many seconds to wait while there is nothing to do.
        """
        until = time.monotonic() + (time_limit or 0)
        with self._broker.changed:
            while not self._process() and (left := until - time.monotonic()) > 0:
                # Nobody says when a message expires.
                self._broker.changed.wait(min(left, _LOOK_SECONDS))

    def add_callback_threadsafe(self, callback: Callable[[], object]) -> None:
        """Have the thread that processes data events call something."""
        if not self.is_open:
            raise pika.exceptions.ConnectionWrongStateError("the connection is closed")
        with self._broker.changed:
            self._callbacks.append(callback)
            self._broker.changed.notify_all()

    def close(self) -> None:
        """Close every channel, which gives back what is not acked."""
        self.check_open()
        self.drop()

    def drop(self) -> None:
        """Lose the connection without a word to who uses it."""
        with self._broker.changed:
            self.is_open = False
            for channel in self._channels:
                channel.drop()
            self._broker.forget(self)
            self._broker.changed.notify_all()

    def lose_queue(self, name: str) -> None:
        for channel in self._channels:
            channel.lose_queue(name)

    def check_open(self) -> None:
        if not self.is_open:
            raise pika.exceptions.ConnectionClosedByBroker(CONNECTION_FORCED, "CONNECTION_FORCED")

    def _process(self) -> bool:
        self.check_open()
        self._broker.let_time_pass()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()
        delivered = [channel.deliver() for channel in list(self._channels) if channel.is_open]
        return bool(callbacks) or any(delivered)


class MemoryChannel:
    """What a pika blocking channel is to its user; names and arguments are pika's."""

    def __init__(self, connection: MemoryConnection, broker: MemoryBroker, *, number: int) -> None:
        self.connection = connection
        self.channel_number = number
        self.is_open = True
        self._broker = broker
        self._prefetch = 0
        self._confirms = False
        self._tags = 0
        self._handed_out: dict[int, HandedOut] = {}
        self._consumers: dict[str, QueueConsumer] = {}
        self._on_cancel: list[Callable[[Any], object]] = []

    def exchange_declare(
        self,
        exchange: str,
        exchange_type: str = "topic",
        *,
        passive: bool = False,
        **_: object,
    ) -> None:
        self._check_open()
        if passive and exchange not in self._broker.bindings:
            self._fail(NOT_FOUND, f"no exchange '{exchange}'")
        assert exchange_type == "topic", "only topic exchanges are modelled"
        self._broker.bindings.setdefault(exchange, [])

    def exchange_delete(self, exchange: str) -> None:
        self._check_open()
        self._broker.bindings.pop(exchange, None)

    def queue_declare(
        self,
        queue: str,
        *,
        passive: bool = False,
        arguments: Mapping[str, Any] | None = None,
        **_: object,
    ) -> pika.frame.Method:
        self._check_open()
        self._broker.let_time_pass()
        found = self._broker.queues.get(queue)
        if found is None:
            if passive:
                self._fail(NOT_FOUND, f"no queue '{queue}'")
            found = self._broker.make_queue(queue, arguments or {})
        elif not passive and found.arguments != dict(arguments or {}):
            self._fail(PRECONDITION_FAILED, f"inequivalent arguments of queue '{queue}'")
        consumers = sum(c.queue is found for c in self._consumers.values())
        return pika.frame.Method(
            self.channel_number,
            pika.spec.Queue.DeclareOk(queue, len(found.ready), consumers),
        )

    def queue_bind(self, queue: str, exchange: str, routing_key: str = "", **_: object) -> None:
        self._check_open()
        if queue not in self._broker.queues or exchange not in self._broker.bindings:
            self._fail(NOT_FOUND, f"no queue '{queue}' or no exchange '{exchange}'")
        bindings = self._broker.bindings[exchange]
        if (routing_key, queue) not in bindings:
            bindings.append((routing_key, queue))

    def queue_unbind(self, queue: str, exchange: str, routing_key: str = "", **_: object) -> None:
        self._check_open()
        bindings = self._broker.bindings.get(exchange, [])
        if (routing_key, queue) in bindings:
            bindings.remove((routing_key, queue))

    def queue_delete(self, queue: str, **_: object) -> None:
        self._check_open()
        with self._broker.changed:
            self._broker.delete_queue(queue)

    def confirm_delivery(self) -> None:
        self._check_open()
        self._confirms = True

    def basic_qos(self, prefetch_count: int = 0, **_: object) -> None:
        self._check_open()
        self._prefetch = prefetch_count

    def add_on_cancel_callback(self, callback: Callable[[Any], object]) -> None:
        self._on_cancel.append(callback)

    def _publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: pika.BasicProperties | None = None,
        *,
        mandatory: bool = False,
    ) -> None:
        """Publish; with confirms on, raise what pika raises for a return and for a refusal."""
        self._check_open()
        properties = properties or pika.BasicProperties()
        if exchange and exchange not in self._broker.bindings:
            self._fail(NOT_FOUND, f"no exchange '{exchange}'")
        if self._confirms and self._broker.is_refused(exchange, routing_key):
            raise pika.exceptions.NackError([])
        taken = self._broker.publish(QueuedMessage(exchange, routing_key, properties, body))
        if mandatory and self._confirms and not taken:
            method = Basic.Return(NO_ROUTE, "NO_ROUTE", exchange, routing_key)
            raise pika.exceptions.UnroutableError([ReturnedMessage(method, properties, body)])

    # Four of its arguments come by position, as pika takes them.
    basic_publish = _publish

    def basic_consume(
        self,
        queue: str,
        on_message_callback: Callable[..., object],
        auto_ack: bool = False,  # noqa: FBT001, FBT002 - pika's
        **_: object,
    ) -> str:
        self._check_open()
        if queue not in self._broker.queues:
            self._fail(NOT_FOUND, f"no queue '{queue}'")
        tag = f"ctag{self.channel_number}.{len(self._consumers) + 1}"
        self._consumers[tag] = QueueConsumer(
            tag, self._broker.queues[queue], on_message_callback, auto_ack, self._prefetch
        )
        return tag

    def basic_cancel(self, consumer_tag: str) -> None:
        """End a consumer; what it was handed stays to be acked."""
        self._check_open()
        self._consumers.pop(consumer_tag, None)

    def basic_get(
        self,
        queue: str,
        auto_ack: bool = False,  # noqa: FBT001, FBT002 - pika's
    ) -> tuple[Any, Any, Any]:
        """Fetch one message; it counts towards no prefetch."""
        self._check_open()
        if queue not in self._broker.queues:
            self._fail(NOT_FOUND, f"no queue '{queue}'")
        self._broker.let_time_pass()
        with self._broker.changed:
            found = self._broker.queues[queue]
            message = found.take()
            if message is None:
                return None, None, None
            tag = self._hand_out(found, message, None, auto_ack=auto_ack)
        method = Basic.GetOk(
            tag,
            message.delivery_count > 0,
            message.exchange,
            message.routing_key,
            len(found.ready),
        )
        return method, message.handed_out(), message.body

    def basic_ack(self, delivery_tag: int = 0, multiple: bool = False) -> None:  # noqa: FBT001, FBT002
        for one in self._settled(delivery_tag, multiple=multiple):
            one.queue.ack()

    def basic_nack(
        self,
        delivery_tag: int = 0,
        multiple: bool = False,  # noqa: FBT001, FBT002 - pika's
        requeue: bool = True,  # noqa: FBT001, FBT002
    ) -> None:
        settled = self._settled(delivery_tag, multiple=multiple)
        if requeue:
            give_back(settled)
        else:
            for one in settled:
                one.queue.reject(one.message)

    def basic_reject(
        self,
        delivery_tag: int = 0,
        requeue: bool = True,  # noqa: FBT001, FBT002 - pika's
    ) -> None:
        self.basic_nack(delivery_tag, requeue=requeue)

    def close(self) -> None:
        self._check_open()
        self.drop()

    def drop(self) -> None:
        """End the channel: what is not acked goes back to its queue, in order, and counts."""
        with self._broker.changed:
            if not self.is_open:
                return
            self.is_open = False
            handed_out = [self._handed_out[tag] for tag in sorted(self._handed_out)]
            self._handed_out.clear()
            self._consumers.clear()
            give_back(handed_out)

    def lose_queue(self, name: str) -> None:
        lost = [tag for tag, consumer in self._consumers.items() if consumer.queue.name == name]
        for tag in lost:
            del self._consumers[tag]
            for callback in self._on_cancel:
                callback(pika.frame.Method(self.channel_number, Basic.Cancel(tag)))

    def deliver(self) -> bool:
        """Hand each consumer what there is and what its prefetch lets it take."""
        delivered = False
        for consumer in list(self._consumers.values()):
            while consumer.has_room and self.is_open:
                message = consumer.queue.take()
                if message is None:
                    break
                delivered = True
                tag = self._hand_out(consumer.queue, message, consumer, auto_ack=consumer.auto_ack)
                method = Basic.Deliver(
                    consumer.tag,
                    tag,
                    message.delivery_count > 0,
                    message.exchange,
                    message.routing_key,
                )
                consumer.callback(self, method, message.handed_out(), message.body)
        return delivered

    def _hand_out(
        self,
        queue: MemoryQueue,
        message: QueuedMessage,
        consumer: QueueConsumer | None,
        *,
        auto_ack: bool,
    ) -> int:
        self._tags += 1
        if auto_ack:
            queue.ack()
        else:
            self._handed_out[self._tags] = HandedOut(queue, message, consumer)
            if consumer is not None:
                consumer.in_hand += 1
        return self._tags

    def _settled(self, tag: int, *, multiple: bool) -> list[HandedOut]:
        self._check_open()
        tags = [one for one in sorted(self._handed_out) if one <= tag] if multiple else [tag]
        if not multiple and tag not in self._handed_out:
            self._fail(PRECONDITION_FAILED, f"unknown delivery tag {tag}")
        with self._broker.changed:
            settled = [self._handed_out.pop(one) for one in tags]
            for one in settled:
                if one.consumer is not None:
                    one.consumer.in_hand -= 1
            self._broker.changed.notify_all()
        return settled

    def _check_open(self) -> None:
        self.connection.check_open()
        if not self.is_open:
            raise pika.exceptions.ChannelWrongStateError("the channel is closed")

    def _fail(self, code: int, text: str) -> None:
        self.drop()
        raise pika.exceptions.ChannelClosedByBroker(code, text)
