"""Publishing with pipelined confirms: many messages in flight, each one's fate known."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from functools import partial
from typing import Any, Final

import pika
import pika.exceptions
import structlog

from octoco.events import Event
from octoco.messaging.confirms import Confirms
from octoco.messaging.ports import BrokerUnavailable, Fate, always
from octoco.messaging.wire import to_properties
from octoco.telemetry.metrics import PUBLISHER_BLOCKED

WINDOW: Final = 500
CONNECT_SECONDS: Final = 10.0
# Without any confirm for so long the connection is given up; a quorum queue that elects a new
# leader is silent for seconds. While the broker blocks publishers no time counts.
ANSWER_SECONDS: Final = 30.0
ASK_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 2.0
# A cut wire is noticed within three times this, by one end or the other; brokers propose 60.
HEARTBEAT_SECONDS: Final = 10
# A block that is never lifted may be a connection that is no more: it is made anew, and what was
# on it is sent again.
BLOCKED_SECONDS: Final = 300


class ConfirmedPublisher:
    """See `octoco.messaging.ports.Publisher`.

    The broker answers a message that no queue takes with a return first and a confirm after it,
    so a fate is final with its confirm.

    Args:
        url: AMQP URL; a heartbeat or a blocked_connection_timeout that it names is kept.
        exchange: Where to.
        window: Most messages sent and not confirmed at any time.
    """

    def __init__(self, *, url: str, exchange: str, window: int = WINDOW) -> None:
        self._parameters = _impatient(pika.URLParameters(url))
        self._exchange = exchange
        self._window = window
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
            return self._link.publish(Confirms(events, window=self._window), may_wait)
        except BaseException:
            # What is not sent yet must not be sent later, when nobody waits for its fate.
            self.close()
            raise

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()


class _Link:
    """One connection in a thread of its own, with all that is known of what it carries.

    Whatever counts messages or hears of them runs in that thread, so that a number is given to a
    message in the order in which the broker counts it. Numbers begin anew with each connection;
    one that is given up may still hear from the broker, and settles its own batch only, which
    nobody waits for.

    Source: pika/pika issue 1683, numbers that drift when two threads count.
    """

    def __init__(self, parameters: pika.URLParameters, exchange: str) -> None:
        self._exchange = exchange
        self._channel: Any = None
        self._ready: Future[None] = Future()
        self._done: Future[None] = Future()
        self._confirms: Confirms | None = None
        self._next_tag = 1
        self._is_blocked = False
        self._heard_at = time.monotonic()
        self._log = structlog.get_logger("octoco.publisher")
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_lost,
            on_close_callback=self._on_lost,
        )
        self._connection.add_on_connection_blocked_callback(self._on_blocked)
        self._connection.add_on_connection_unblocked_callback(self._on_unblocked)
        self._thread = threading.Thread(
            target=_run_loop, args=(self._connection.ioloop,), name="publisher", daemon=True
        )
        self._thread.start()

    @property
    def is_usable(self) -> bool:
        return self._thread.is_alive() and bool(self._connection.is_open)

    def publish(self, confirms: Confirms, may_wait: Callable[[], bool]) -> list[Fate]:
        self._await(self._ready, CONNECT_SECONDS, may_wait)
        self._done = Future()
        self._heard_at = time.monotonic()
        self._in_loop(partial(self._begin, confirms))
        self._await(self._done, ANSWER_SECONDS, may_wait)
        return confirms.fates()

    def close(self) -> None:
        with suppress(BrokerUnavailable):
            self._in_loop(partial(_close, self._connection))
            self._thread.join(CLOSE_SECONDS)
            if self._thread.is_alive():
                # A broker that blocks, or is cut off, does not answer a goodbye.
                self._in_loop(partial(_abandon, self._connection))
        self._thread.join(CLOSE_SECONDS)
        PUBLISHER_BLOCKED.set(0)

    def _await(
        self, future: "Future[None]", patience_seconds: float, may_wait: Callable[[], bool]
    ) -> None:
        try:
            while True:
                with suppress(FutureTimeout):
                    return future.result(ASK_SECONDS)
                if self._is_blocked:
                    self._heard_at = time.monotonic()
                if time.monotonic() - self._heard_at > patience_seconds:
                    raise BrokerUnavailable("RabbitMQ has not answered in time.")
                if not may_wait():
                    raise BrokerUnavailable("What was sent is given up.")
        except pika.exceptions.AMQPError as error:
            raise BrokerUnavailable(
                f"The connection to RabbitMQ broke ({type(error).__name__})."
            ) from error

    def _in_loop(self, work: Callable[[], None]) -> None:
        try:
            self._connection.ioloop.add_callback_threadsafe(work)
        except Exception as error:
            # What a loop that has ended raises depends on how far it has come.
            raise BrokerUnavailable("The connection to RabbitMQ is gone.") from error

    # From here on everything runs in the connection's thread.

    def _on_open(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_return_callback(self._on_return)
        channel.add_on_close_callback(self._on_channel_lost)
        channel.confirm_delivery(self._on_confirm, callback=lambda _: _resolve(self._ready))

    def _begin(self, confirms: Confirms) -> None:
        self._confirms = confirms
        if not self._connection.is_open:
            self._fail(pika.exceptions.AMQPConnectionError("lost before anything was sent"))
            return
        self._send(confirms)

    def _send(self, confirms: Confirms) -> None:
        while not self._is_blocked and (taken := confirms.take()) is not None:
            place, event = taken
            try:
                properties, body = to_properties(event)
                self._channel.basic_publish(
                    self._exchange, event.type, body, properties, mandatory=True
                )
            except pika.exceptions.AMQPError as error:
                if not self._channel.is_open:
                    self._fail(error)
                    return
                self._refuse(place, event, confirms)
            except Exception:  # noqa: BLE001 - one that cannot be written must not stop the others
                self._refuse(place, event, confirms)
            else:
                confirms.sent(place, self._next_tag)
                self._next_tag += 1
        if confirms.are_complete:
            _resolve(self._done)

    def _refuse(self, place: int, event: Event, confirms: Confirms) -> None:
        self._log.exception("message_not_writable", message_id=event.id, event_type=event.type)
        confirms.not_sent(place)

    def _on_return(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        if self._confirms is not None:
            self._confirms.returned(properties.message_id)

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        self._heard_at = time.monotonic()
        if self._confirms is not None:
            self._confirms.answered(
                method.delivery_tag,
                multiple=method.multiple,
                confirmed=isinstance(method, pika.spec.Basic.Ack),
            )
            self._send(self._confirms)

    def _on_blocked(self, _connection: Any, frame: Any) -> None:
        self._is_blocked = True
        PUBLISHER_BLOCKED.set(1)
        self._log.error("broker_blocks_publishing", reason=str(frame.method.reason))

    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        self._is_blocked = False
        PUBLISHER_BLOCKED.set(0)
        self._log.info("broker_takes_messages_again")
        if self._confirms is not None:
            self._send(self._confirms)

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
        for future in (self._ready, self._done):
            if not future.done():
                future.set_exception(broken)


def _impatient(parameters: pika.URLParameters) -> pika.URLParameters:
    if parameters.heartbeat is None:
        parameters.heartbeat = HEARTBEAT_SECONDS
    if parameters.blocked_connection_timeout is None:
        parameters.blocked_connection_timeout = BLOCKED_SECONDS
    return parameters


def _resolve(future: "Future[None]") -> None:
    if not future.done():
        future.set_result(None)


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


def _abandon(connection: Any) -> None:
    # pika has no public way to end a connection whose broker does not answer.
    connection._terminate_stream(pika.exceptions.StreamLostError("given up"))  # noqa: SLF001
