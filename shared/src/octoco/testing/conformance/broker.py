"""What consumers and tools rely on of a broker, as pika's blocking channel shows it."""

from collections.abc import Mapping
from typing import Any, Protocol

import pika
import pika.exceptions
import pytest

from octoco.messaging.connecting import Connect
from octoco.testing.waiting import eventually

# With a limit said: without one, versions differ in how often they deliver and in what order.
_QUORUM: Mapping[str, Any] = {"x-queue-type": "quorum", "x-delivery-limit": 100}
TIER_SECONDS = 0.3


class BrokerGround(Protocol):
    """What the suite stands on: a broker, and names on it that nobody else uses."""

    @property
    def connect(self) -> Connect: ...

    def name(self, short: str) -> str:
        """Return a name for an exchange or a queue, the same for the same short one."""
        ...

    def pass_time(self, seconds: float) -> None:
        """Let time pass for what is in queues."""
        ...


class BrokerConformance:
    """Subclass it as `Test...`, with a fixture `ground` that returns a `BrokerGround`."""

    def test_a_message_keeps_what_its_sender_wrote(self, ground: BrokerGround) -> None:
        channel, queue = _queue(ground)
        sent = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,
            message_id="msg_1",
            correlation_id="cor_1",
            type="probe",
            headers={"text": "a", "number": 7},
        )
        channel.basic_publish("", queue, b"body", sent, mandatory=True)
        method, properties, body = channel.basic_get(queue)
        assert (body, method.redelivered, method.message_count) == (b"body", False, 0)
        headers = dict(properties.headers)
        # Some versions count from the first delivery on.
        assert not headers.pop("x-delivery-count", 0)
        assert headers == {"text": "a", "number": 7}
        for name in ("content_type", "delivery_mode", "message_id", "correlation_id", "type"):
            assert getattr(properties, name) == getattr(sent, name)

    def test_an_empty_queue_gives_nothing(self, ground: BrokerGround) -> None:
        channel, queue = _queue(ground)
        assert channel.basic_get(queue) == (None, None, None)

    def test_a_mandatory_message_that_no_queue_takes_comes_back(self, ground: BrokerGround) -> None:
        channel, _ = _queue(ground)
        with pytest.raises(pika.exceptions.UnroutableError):
            channel.basic_publish("", ground.name("nobody"), b"body", mandatory=True)
        assert channel.is_open

    def test_what_is_not_acked_comes_again_first_in_order_marked_and_counted(
        self, ground: BrokerGround
    ) -> None:
        connection = ground.connect()
        channel, queue = _queue(ground, connection=connection)
        _publish(channel, queue, 4)
        for _ in range(3):
            channel.basic_get(queue)
        channel.basic_ack(2)
        connection.close()
        channel = _open(ground)
        eventually(lambda: _depth(channel, queue) == 3, what="the messages are given back")
        again = [channel.basic_get(queue) for _ in range(3)]
        assert [body for _, _, body in again] == [b"0", b"2", b"3"]
        assert [method.redelivered for method, _, _ in again] == [True, True, False]
        counts = [(p.headers or {}).get("x-delivery-count", 0) for _, p, _ in again]
        assert counts == [1, 1, 0]

    def test_what_is_acked_never_comes_again(self, ground: BrokerGround) -> None:
        connection = ground.connect()
        channel, queue = _queue(ground, connection=connection)
        _publish(channel, queue, 3)
        for _ in range(3):
            tag = channel.basic_get(queue)[0].delivery_tag
        channel.basic_ack(tag, multiple=True)
        connection.close()
        assert _depth(_open(ground), queue) == 0

    def test_no_more_is_handed_out_than_the_prefetch_count(self, ground: BrokerGround) -> None:
        connection = ground.connect()
        channel, queue = _queue(ground, connection=connection)
        _publish(channel, queue, 5)
        channel.basic_qos(prefetch_count=2)
        got: list[Any] = []
        channel.basic_consume(queue, lambda _channel, method, *rest: got.append((method, *rest)))

        def has_got(count: int) -> bool:
            connection.process_data_events(time_limit=0.05)
            return len(got) == count

        eventually(lambda: has_got(2), what="two deliveries")
        connection.process_data_events(time_limit=0.1)
        assert [body for _, _, body in got] == [b"0", b"1"]
        channel.basic_ack(got[0][0].delivery_tag)
        eventually(lambda: has_got(3), what="a third one")
        connection.close()

    def test_two_consumers_share_a_queue_and_each_message_goes_to_one(
        self, ground: BrokerGround
    ) -> None:
        connection = ground.connect()
        channel, queue = _queue(ground, connection=connection)
        got: list[bytes] = []
        for one in (channel, connection.channel()):
            one.basic_qos(prefetch_count=3)
            one.basic_consume(queue, lambda _channel, _method, _properties, body: got.append(body))
        _publish(channel, queue, 6)

        def all_got() -> bool:
            connection.process_data_events(time_limit=0.05)
            return len(got) == 6

        eventually(all_got, what="six deliveries")
        assert sorted(got) == [b"0", b"1", b"2", b"3", b"4", b"5"]
        connection.close()

    def test_what_outlives_a_tier_goes_back_to_its_queue_and_not_before(
        self, ground: BrokerGround
    ) -> None:
        channel, queue = _queue(ground)
        tier = ground.name("tier")
        _declare_tier(channel, tier, queue)
        _publish(channel, tier, 3)
        assert _depth(channel, queue) == 0
        ground.pass_time(TIER_SECONDS)
        eventually(lambda: _depth(channel, queue) == 3, what="what has expired")
        got = [channel.basic_get(queue) for _ in range(3)]
        assert [body for _, _, body in got] == [b"0", b"1", b"2"]
        assert [method.redelivered for method, _, _ in got] == [False] * 3
        assert got[0][1].headers["x-death"][0]["reason"] == "expired"
        assert _depth(channel, tier) == 0

    def test_what_is_given_back_too_often_is_dead(self, ground: BrokerGround) -> None:
        channel, dead = _queue(ground)
        queue = ground.name("limited")
        arguments = _dead_lettering_to(dead) | {"x-delivery-limit": 2}
        channel.queue_declare(queue, durable=True, arguments=arguments)
        _publish(channel, queue, 1)
        for _ in range(3):
            method = eventually(lambda: channel.basic_get(queue)[0], what="a delivery")
            # From RabbitMQ 4.3 on a `nack` is no failure and does not count.
            channel.basic_reject(method.delivery_tag, requeue=True)
        eventually(lambda: _depth(channel, dead) == 1, what="a dead message")
        assert _depth(channel, queue) == 0

    def test_what_is_rejected_is_dead(self, ground: BrokerGround) -> None:
        channel, dead = _queue(ground)
        queue = ground.name("rejecting")
        channel.queue_declare(queue, durable=True, arguments=_dead_lettering_to(dead))
        _publish(channel, queue, 1)
        channel.basic_reject(channel.basic_get(queue)[0].delivery_tag, requeue=False)
        eventually(lambda: _depth(channel, dead) == 1, what="a dead message")

    def test_a_queue_that_is_declared_otherwise_is_refused_and_the_channel_closed(
        self, ground: BrokerGround
    ) -> None:
        channel, queue = _queue(ground)
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
            channel.queue_declare(queue, durable=True, arguments={**_QUORUM, "x-message-ttl": 1000})
        assert refused.value.reply_code == 406
        assert not channel.is_open

    def test_a_queue_that_is_not_there_is_not_found(self, ground: BrokerGround) -> None:
        with pytest.raises(pika.exceptions.ChannelClosedByBroker) as refused:
            _open(ground).queue_declare(ground.name("nobody"), passive=True)
        assert refused.value.reply_code == 404

    def test_a_consumer_hears_that_its_queue_is_deleted(self, ground: BrokerGround) -> None:
        connection = ground.connect()
        channel, queue = _queue(ground, connection=connection)
        cancelled: list[object] = []
        channel.add_on_cancel_callback(cancelled.append)
        channel.basic_consume(queue, lambda *_: None)
        _open(ground).queue_delete(queue)

        def has_heard() -> bool:
            connection.process_data_events(time_limit=0.05)
            return bool(cancelled)

        eventually(has_heard, what="the cancellation")
        connection.close()

    def test_a_queue_that_is_unbound_gets_nothing_more(self, ground: BrokerGround) -> None:
        channel, queue = _queue(ground)
        exchange = ground.name("exchange")
        channel.exchange_declare(exchange, exchange_type="topic", durable=True)
        channel.queue_bind(queue, exchange, routing_key="a.#")
        channel.basic_publish(exchange, "a.b", b"first", mandatory=True)
        channel.queue_unbind(queue, exchange, routing_key="a.#")
        with pytest.raises(pika.exceptions.UnroutableError):
            channel.basic_publish(exchange, "a.b", b"second", mandatory=True)
        assert _depth(channel, queue) == 1


def _open(ground: BrokerGround) -> Any:
    channel = ground.connect().channel()
    channel.confirm_delivery()
    return channel


def _queue(ground: BrokerGround, *, connection: Any = None) -> tuple[Any, str]:
    channel = (connection or ground.connect()).channel()
    channel.confirm_delivery()
    channel.queue_declare(ground.name("queue"), durable=True, arguments=dict(_QUORUM))
    return channel, ground.name("queue")


def _publish(channel: Any, queue: str, count: int) -> None:
    properties = pika.BasicProperties(delivery_mode=2)
    for number in range(count):
        channel.basic_publish("", queue, str(number).encode(), properties, mandatory=True)


def _depth(channel: Any, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).method.message_count)


def _declare_tier(channel: Any, tier: str, queue: str) -> None:
    arguments = _dead_lettering_to(queue) | {"x-message-ttl": int(TIER_SECONDS * 1000)}
    channel.queue_declare(tier, durable=True, arguments=arguments)


def _dead_lettering_to(queue: str) -> dict[str, Any]:
    return {
        **_QUORUM,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
