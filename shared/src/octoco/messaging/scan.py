"""Looking through a queue from its head: what is not taken out stays where it was, in its order.

AMQP has no way to look: messages are taken, and given back. RabbitMQ gives back in order what one
consumer took, when its channel is closed; what single `basic.get`s took comes back in any order.
So messages are taken in windows, each by a consumer of its own that can take no more than its
window and has ended before anything is done with it, and the channels are closed in turn, each
when the queue has taken back what the one before held. And it is always all of them that are
taken, because what was given back before is ahead of the others and queues up behind itself.

Source: docs/rabbitmq.md, "Giving back".
"""

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import pika

from octoco.messaging.decoding import read_whatever_comes

FIRST_WINDOW: Final = 16
WINDOW_MAX: Final = 1000
# A channel each; a connection has 2,047 of them.
WINDOWS_MAX: Final = 1000
# Neither side has to hold much more than this at once, however large the bodies are.
WINDOW_BYTES: Final = 4_000_000
# RabbitMQ keeps acks back in a channel that is ahead of its queue by 32 commands, and forgets them
# if the channel is closed then. So the queue is given time after half as many.
ACKS_AT_ONCE: Final = 16
ACKS_SECONDS: Final = 0.02
QUIET_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.1
_ASK_AGAIN_SECONDS: Final = 0.002


@dataclass(frozen=True, slots=True, eq=False)
class Scanned:
    """A message in its place in the queue.

    Args:
        properties: As it came.
        body: As it came.
    """

    properties: pika.BasicProperties
    body: bytes
    _window: "_Window"
    _tag: int

    def take_out(self) -> None:
        """Remove it from the queue; until then it comes back whatever happens."""
        self._window.take_out(self._tag)


class QueueScan:
    """One look through a queue; a context manager that gives everything back at its end.

    While it lasts nobody else gets what it has looked at. Others who look at the same time each
    see a part, so whoever wants to see all has to keep the others out.

    Args:
        connection: A blocking connection, used by nobody else meanwhile.
        queue: Its name.
    """

    def __init__(self, connection: Any, queue: str) -> None:
        read_whatever_comes()
        self._connection = connection
        self._queue = queue
        self._windows: list[_Window] = []
        self._others = 0
        self._left = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connection.is_open:
            self._take_the_rest()
            self._give_back()

    def depth(self) -> int:
        """Return how many messages wait in the queue, without those that somebody holds.

        Raises:
            pika.exceptions.ChannelClosedByBroker: there is no such queue.
        """
        return self._ask().message_count

    def messages(self) -> Iterator[Scanned]:
        """Yield what is in the queue now, oldest first; what comes meanwhile is left alone.

        Raises:
            pika.exceptions.ChannelClosedByBroker: there is no such queue.
            pika.exceptions.AMQPError: the broker went away; all is given back.
        """
        answer = self._ask()
        self._others = answer.consumer_count
        self._left = answer.message_count or self._depth_of_silence()
        size = FIRST_WINDOW
        seen = seen_bytes = 0
        while self._left > 0:
            window = self._take(size)
            for scanned in window.messages():
                seen += 1
                seen_bytes += len(scanned.body)
                yield scanned
            if window.is_empty:
                self._close(window)
            size = max(1, min(WINDOW_MAX, WINDOW_BYTES // max(1, seen_bytes // max(1, seen))))

    def _take(self, size: int, *, keeps: bool = True) -> "_Window":
        if len(self._windows) >= WINDOWS_MAX:
            size = WINDOW_MAX
        asked = min(size, self._left)
        window = _Window(self._connection, self._queue, size=asked)
        self._windows.append(window)
        window.fill(keeps=keeps)
        self._left = self._left - asked if window.count == asked else 0
        return window

    def _take_the_rest(self) -> None:
        # What is given back goes behind what was given back before and ahead of all else. So a
        # part of it that is taken alone would be given back behind the rest of it.
        while self._left > 0:
            self._take(WINDOW_MAX, keeps=False)

    def _give_back(self) -> None:
        # In the order in which they were taken: each goes behind those given back before.
        for window in list(self._windows):
            self._close(window)

    def _close(self, window: "_Window") -> None:
        self._windows.remove(window)
        if window.is_empty:
            self._wait_until_let_go()
        window.close()
        # The answer to the closing comes before the queue has heard of it.
        self._wait_until_let_go()

    def _wait_until_let_go(self) -> None:
        # The queue counts a consumer for as long as it holds messages, ended or not.
        deadline = time.monotonic() + QUIET_SECONDS
        while (
            self._ask().consumer_count > self._others + len(self._windows)
            and time.monotonic() < deadline
        ):
            self._connection.sleep(_ASK_AGAIN_SECONDS)

    def _ask(self) -> "_Answer":
        with contextlib.closing(self._connection.channel()) as channel:
            method = channel.queue_declare(self._queue, passive=True).method
            return _Answer(int(method.message_count), int(method.consumer_count))

    def _depth_of_silence(self) -> int:
        # A broker that is too busy to count says none; one that gives nothing has none.
        channel = self._connection.channel()
        method, _, _ = channel.basic_get(self._queue, auto_ack=False)
        channel.close()
        return 0 if method is None else WINDOW_MAX * WINDOW_MAX


@dataclass(frozen=True, slots=True)
class _Answer:
    message_count: int
    consumer_count: int


class _Window:
    """Some messages next to each other, held on a channel of their own."""

    def __init__(self, connection: Any, queue: str, *, size: int) -> None:
        self._connection = connection
        self._queue = queue
        self._size = size
        self._channel = connection.channel()
        self._waiting: deque[tuple[int, pika.BasicProperties, bytes]] = deque()
        self._keeps = True
        self._held = 0
        self._acked = 0
        self._caught_up_at = time.monotonic()

    @property
    def count(self) -> int:
        return self._held

    @property
    def is_empty(self) -> bool:
        return self._held == 0

    def fill(self, *, keeps: bool) -> None:
        """Take messages until the window is full or none has come for a while.

        Args:
            keeps: Whether anybody wants to see them; else they are only held.
        """
        self._keeps = keeps
        self._channel.basic_qos(prefetch_count=self._size)
        tag = self._channel.basic_consume(self._queue, self._on_delivery)
        deadline = time.monotonic() + QUIET_SECONDS
        while self._held < self._size and time.monotonic() < deadline:
            before = self._held
            self._connection.process_data_events(time_limit=_POLL_SECONDS)
            if self._held > before:
                deadline = time.monotonic() + QUIET_SECONDS
        # A full window's consumer gets nothing more, so nothing is given back out of its order.
        self._channel.basic_cancel(tag)

    def messages(self) -> Iterator[Scanned]:
        while self._waiting:
            tag, properties, body = self._waiting.popleft()
            yield Scanned(properties, body, self, tag)

    def take_out(self, tag: int) -> None:
        self._channel.basic_ack(tag)
        self._held -= 1
        self._acked += 1
        if self._acked % ACKS_AT_ONCE == 0:
            self._let_queue_catch_up()

    def close(self) -> None:
        """Give back what was not taken out, in its order."""
        if not self._channel.is_open:
            return
        if self._acked:
            self._let_queue_catch_up()
        self._channel.close()

    def _let_queue_catch_up(self) -> None:
        since = time.monotonic() - self._caught_up_at
        if since < ACKS_SECONDS:
            self._connection.sleep(ACKS_SECONDS - since)
        self._caught_up_at = time.monotonic()

    def _on_delivery(
        self, _channel: Any, method: Any, properties: pika.BasicProperties, body: bytes
    ) -> None:
        if self._keeps:
            self._waiting.append((method.delivery_tag, properties, body))
        self._held += 1
