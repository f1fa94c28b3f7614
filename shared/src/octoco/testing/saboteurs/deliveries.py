"""Deliveries that come late, in another order, and some of them twice."""

from collections.abc import Callable
from typing import Any

from octoco.messaging.deliveries import SUBJECT_HEADER
from octoco.testing.saboteurs.chances import Chances, shuffled


class UnreliableDeliveries:
    """Connects to a broker whose deliveries come late, in another order, and some of them twice.

    Wraps what a consumer is given to connect by, in memory and on RabbitMQ alike.

    Args:
        connect: Makes a connection; see `octoco.messaging.connecting.Connect`.
        chances: Decide.
        one_in_late: Of how many deliveries one stays behind until a later look.
        one_in_twice: Of how many deliveries one is put into its queue once more.
        is_fair: Deliveries of one aggregate keep their order.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        chances: Chances,
        *,
        one_in_late: int = 3,
        one_in_twice: int = 10,
        is_fair: bool = True,
    ) -> None:
        self._connect = connect
        self.chances = chances
        self.one_in_late = one_in_late
        self.one_in_twice = one_in_twice
        self.is_fair = is_fair

    def __call__(self) -> Any:
        return _UnreliableConnection(self._connect(), self)


_Arrived = tuple[Callable[..., object], tuple[Any, Any, Any, bytes]]


class _UnreliableConnection:
    def __init__(self, connection: Any, settings: UnreliableDeliveries) -> None:
        self._connection = connection
        self._settings = settings
        self._arrived: list[_Arrived] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def channel(self) -> Any:
        return _UnreliableChannel(self._connection.channel(), self.arrive, self._settings)

    def process_data_events(self, time_limit: float | None = 0) -> None:
        self._connection.process_data_events(time_limit=time_limit)
        self._hand_over()

    def arrive(
        self, callback: Callable[..., object], delivery: tuple[Any, Any, Any, bytes]
    ) -> None:
        self._arrived.append((callback, delivery))

    def _hand_over(self) -> None:
        settings = self._settings
        arrived = shuffled(
            self._arrived,
            chances=settings.chances,
            kept_in_order=lambda one: _aggregate_of(one) if settings.is_fair else None,
        )
        self._arrived = []
        late: set[str] = set()
        for one in arrived:
            aggregate = _aggregate_of(one)
            if aggregate in late or settings.chances.happens(settings.one_in_late):
                self._arrived.append(one)
                if settings.is_fair and aggregate is not None:
                    late.add(aggregate)
            else:
                callback, delivery = one
                callback(*delivery)


class _UnreliableChannel:
    def __init__(
        self,
        channel: Any,
        arrive: Callable[[Callable[..., object], tuple[Any, Any, Any, bytes]], None],
        settings: UnreliableDeliveries,
    ) -> None:
        self._channel = channel
        self._arrive = arrive
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def basic_consume(
        self, queue: str, on_message_callback: Callable[..., object], **options: Any
    ) -> Any:
        def _on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
            settings = self._settings
            if not method.redelivered and settings.chances.happens(settings.one_in_twice):
                channel.basic_publish("", queue, body, properties)
            self._arrive(on_message_callback, (channel, method, properties, body))

        return self._channel.basic_consume(queue, _on_message, **options)


def _aggregate_of(arrived: _Arrived) -> str | None:
    headers = arrived[1][2].headers or {}
    subject = headers.get(SUBJECT_HEADER)
    return subject if isinstance(subject, str) else None
