"""The queues and exchanges of RabbitMQ in memory, without connections.

Every queue behaves as a quorum queue that says a delivery limit. Time passes as the clock does.
"""

import copy
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import pika

DELIVERY_COUNT_HEADER: Final = "x-delivery-count"


@dataclass(slots=True)
class QueuedMessage:
    """A message in a queue, or handed out and not acked.

    Args:
        exchange: It was published to; empty for the default one.
        routing_key: It was published with.
        properties: As they were published.
        body: Likewise.
        delivery_count: How often it was handed out and given back.
        expires_at: When the queue's time to live is over; None is never.
    """

    exchange: str
    routing_key: str
    properties: pika.BasicProperties
    body: bytes
    delivery_count: int = 0
    expires_at: datetime | None = None

    def handed_out(self) -> pika.BasicProperties:
        """Return the properties as a consumer gets them; they are the consumer's own."""
        properties = copy.copy(self.properties)
        headers = dict(properties.headers or {})
        if self.delivery_count:
            headers[DELIVERY_COUNT_HEADER] = self.delivery_count
        properties.headers = headers or None
        return properties


# Called with a message, the queue that gives it up, and why.
DeadLetter = Callable[[QueuedMessage, "MemoryQueue", str], None]


class MemoryQueue:
    """A quorum queue: in order, what is given back first, each handed out until it is acked.

    Args:
        name: Its name, which is its routing key on the default exchange.
        arguments: Those of its declaration.
        dead_letter: Takes what expires, is rejected or given back too often.
    """

    def __init__(self, name: str, arguments: Mapping[str, Any], *, dead_letter: DeadLetter) -> None:
        self.name = name
        self.arguments = dict(arguments)
        self.ready: deque[QueuedMessage] = deque()
        self.handed_out = 0
        self._dead_letter = dead_letter
        ttl_ms = arguments.get("x-message-ttl")
        self._ttl = None if ttl_ms is None else timedelta(milliseconds=ttl_ms)
        self._delivery_limit = arguments.get("x-delivery-limit")

    def put(self, message: QueuedMessage, *, now: datetime) -> None:
        """Add a message at the end.

        Args:
            message: The queue's own from now on.
            now: Begins its time to live, timezone-aware.
        """
        message.expires_at = None if self._ttl is None else now + self._ttl
        self.ready.append(message)

    def take(self) -> QueuedMessage | None:
        """Hand out the first message, if there is one."""
        if not self.ready:
            return None
        self.handed_out += 1
        return self.ready.popleft()

    def ack(self) -> None:
        """Forget a message that was handed out."""
        self.handed_out -= 1

    def give_back(self, messages: Sequence[QueuedMessage]) -> None:
        """Put messages that were handed out back in front, in the order given."""
        self.handed_out -= len(messages)
        for message in reversed(messages):
            message.delivery_count += 1
            if self._delivery_limit is not None and message.delivery_count > self._delivery_limit:
                self._dead_letter(message, self, "delivery_limit")
            else:
                self.ready.appendleft(message)

    def reject(self, message: QueuedMessage) -> None:
        """Dead-letter a message that was handed out."""
        self.handed_out -= 1
        self._dead_letter(message, self, "rejected")

    def expire(self, *, now: datetime) -> None:
        """Dead-letter what has outlived the queue's time to live: from the front, as quorum does.

        Args:
            now: The instant, timezone-aware.
        """
        while self._ttl is not None and self.ready:
            expires_at = self.ready[0].expires_at
            if expires_at is None or expires_at > now:
                return
            self._dead_letter(self.ready.popleft(), self, "expired")


@dataclass(slots=True, eq=False)
class QueueConsumer:
    """Who takes from a queue, and how many of its messages are not acked."""

    tag: str
    queue: MemoryQueue
    callback: Callable[..., object]
    auto_ack: bool
    prefetch: int
    in_hand: int = 0

    @property
    def has_room(self) -> bool:
        return self.prefetch == 0 or self.in_hand < self.prefetch


@dataclass(slots=True)
class HandedOut:
    """A message that somebody has and has not acked."""

    queue: MemoryQueue
    message: QueuedMessage
    consumer: QueueConsumer | None


def give_back(handed_out: Iterable[HandedOut]) -> None:
    """Put what is not acked back into the queues that it came from, in the order given."""
    by_queue: dict[str, list[HandedOut]] = {}
    for one in handed_out:
        by_queue.setdefault(one.queue.name, []).append(one)
    for group in by_queue.values():
        group[0].queue.give_back([one.message for one in group])


def dead_lettered(message: QueuedMessage, queue: MemoryQueue, reason: str) -> QueuedMessage | None:
    """Return the copy that goes on to the dead letter exchange, or None if the queue has none.

    Args:
        message: That is given up.
        queue: By which.
        reason: `expired`, `rejected` or `delivery_limit`.
    """
    exchange = queue.arguments.get("x-dead-letter-exchange")
    if exchange is None:
        return None
    properties = copy.copy(message.properties)
    headers = dict(properties.headers or {})
    deaths: list[dict[str, Any]] = [dict(death) for death in headers.get("x-death", ())]
    same = [d for d in deaths if (d["queue"], d["reason"]) == (queue.name, reason)]
    death: dict[str, Any] = same[0] if same else {"queue": queue.name, "reason": reason, "count": 0}
    death["count"] += 1
    headers["x-death"] = [death, *(one for one in deaths if one is not death)]
    headers.setdefault("x-first-death-queue", queue.name)
    headers.setdefault("x-first-death-reason", reason)
    headers.setdefault("x-first-death-exchange", message.exchange)
    properties.headers = headers
    routing_key = queue.arguments.get("x-dead-letter-routing-key", message.routing_key)
    return QueuedMessage(exchange, routing_key, properties, message.body)


@lru_cache(maxsize=4096)
def topic_matches(pattern: str, routing_key: str) -> bool:
    """Say whether a binding of a topic exchange takes a routing key.

    `*` stands for one word, `#` for none or more.
    """
    return _words_match(tuple(pattern.split(".")), tuple(routing_key.split(".")))


def _words_match(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_words_match(pattern[1:], words[skip:]) for skip in range(len(words) + 1))
    return bool(words) and pattern[0] in {"*", words[0]} and _words_match(pattern[1:], words[1:])
