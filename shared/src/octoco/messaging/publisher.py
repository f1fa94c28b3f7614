"""Publishing with pipelined confirms: many messages in flight, each one's fate known."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import pika
import pika.exceptions

from octoco.events import Event
from octoco.messaging.ports import BrokerUnavailable, Fate, always
from octoco.messaging.wire import to_properties

CONNECT_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 30.0
ASK_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Batch:
    events: Sequence[Event]
    done: "Future[list[Fate]]"
    fates: dict[int, Fate] = field(default_factory=dict)
    returned: set[str] = field(default_factory=set)

    def settle(self, index: int, fate: Fate) -> None:
        if fate is Fate.CONFIRMED and self.events[index].id in self.returned:
            fate = Fate.RETURNED
        self.fates[index] = fate
        if len(self.fates) == len(self.events) and not self.done.done():
            self.done.set_result([self.fates[place] for place in range(len(self.events))])


class ConfirmedPublisher:
    """See `octoco.messaging.ports.Publisher`.

    The broker answers a message that no queue takes with a return first and a confirm after it,
    so a fate is final with its confirm.

    Args:
        url: AMQP URL.
        exchange: Where to.
    """

    def __init__(self, *, url: str, exchange: str) -> None:
        self._parameters = pika.URLParameters(url)
        self._exchange = exchange
        self._link: _Link | None = None

    def publish(
        self, events: Sequence[Event], *, may_wait: Callable[[], bool] = always
    ) -> list[Fate]:
        if not events:
            return []
        if self._link is None or not self._link.is_usable:
            self.close()
            self._link = _Link(self._parameters, self._exchange)
        try:
            return self._link.publish(events, may_wait)
        except BrokerUnavailable:
            self.close()
            raise

    def close(self) -> None:
        """End the connection; the next publish makes a new one."""
        link, self._link = self._link, None
        if link is not None:
            link.close()


class _Link:
    """One connection in a thread of its own, with all that is known of what it carries.

    Delivery tags begin anew with each connection. A connection that is given up may still hear
    from the broker; what it hears then settles its own batch only, which nobody waits for.
    """

    def __init__(self, parameters: pika.URLParameters, exchange: str) -> None:
        self._exchange = exchange
        self._channel: Any = None
        self._ready: Future[None] = Future()
        self._batch: _Batch | None = None
        self._in_flight: dict[int, int] = {}
        self._next_tag = 1
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_lost,
            on_close_callback=self._on_lost,
        )
        self._thread = threading.Thread(
            target=_run_loop, args=(self._connection.ioloop,), name="publisher", daemon=True
        )
        self._thread.start()

    @property
    def is_usable(self) -> bool:
        return self._thread.is_alive() and bool(self._connection.is_open)

    def publish(self, events: Sequence[Event], may_wait: Callable[[], bool]) -> list[Fate]:
        batch = _Batch(events, Future())
        deadline = time.monotonic() + ANSWER_SECONDS
        try:
            self._ready.result(CONNECT_SECONDS)
            self._connection.ioloop.add_callback_threadsafe(partial(self._send, batch))
            while time.monotonic() < deadline and may_wait():
                with suppress(FutureTimeout):
                    return batch.done.result(ASK_SECONDS)
            raise BrokerUnavailable("RabbitMQ has not answered in time.")
        except FutureTimeout as error:
            raise BrokerUnavailable("RabbitMQ has not answered in time.") from error
        except pika.exceptions.AMQPError as error:
            raise BrokerUnavailable("The connection to RabbitMQ broke.") from error

    def close(self) -> None:
        with suppress(Exception):
            # A loop that has ended takes no callback and needs none.
            self._connection.ioloop.add_callback_threadsafe(partial(_close, self._connection))
        self._thread.join(CLOSE_SECONDS)

    def _on_open(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_return_callback(self._on_return)
        channel.add_on_close_callback(self._on_channel_lost)
        channel.confirm_delivery(self._on_confirm, callback=lambda _: self._set_ready())

    def _set_ready(self) -> None:
        if not self._ready.done():
            self._ready.set_result(None)

    def _send(self, batch: _Batch) -> None:
        self._batch = batch
        for index, event in enumerate(batch.events):
            properties, body = to_properties(event)
            try:
                self._channel.basic_publish(
                    self._exchange, event.type, body, properties, mandatory=True
                )
            except pika.exceptions.AMQPError as error:
                self._fail(error)
                return
            self._in_flight[self._next_tag] = index
            self._next_tag += 1

    def _on_return(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        if self._batch is not None:
            self._batch.returned.add(properties.message_id)

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        fate = Fate.CONFIRMED if isinstance(method, pika.spec.Basic.Ack) else Fate.REFUSED
        tags = (
            [tag for tag in self._in_flight if tag <= method.delivery_tag]
            if method.multiple
            else [method.delivery_tag]
        )
        for tag in tags:
            index = self._in_flight.pop(tag, None)
            if index is not None and self._batch is not None:
                self._batch.settle(index, fate)

    def _on_channel_lost(self, _channel: Any, reason: Exception) -> None:
        self._fail(reason)
        if self._connection.is_open:
            self._connection.close()

    def _on_lost(self, connection: Any, reason: Exception | str) -> None:
        self._fail(reason if isinstance(reason, Exception) else ConnectionError(str(reason)))
        connection.ioloop.stop()

    def _fail(self, error: Exception) -> None:
        broken = (
            error
            if isinstance(error, pika.exceptions.AMQPError)
            else pika.exceptions.AMQPConnectionError(str(error))
        )
        if not self._ready.done():
            self._ready.set_exception(broken)
        if self._batch is not None and not self._batch.done.done():
            self._batch.done.set_exception(broken)


def _run_loop(ioloop: Any) -> None:
    try:
        ioloop.start()
    finally:
        ioloop.close()


def _close(connection: Any) -> None:
    if connection.is_open:
        connection.close()
    else:
        connection.ioloop.stop()
