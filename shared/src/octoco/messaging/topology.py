"""The exchange and the queues: one consuming queue for each service, its retry tiers, its dead.

Every queue is a quorum queue. A retry tier is a queue of fixed time to live that dead-letters
back to the consuming queue only, so a retry reaches nobody else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pika.adapters.blocking_connection

EXCHANGE: Final = "octoco.events"
EXCHANGE_TYPE: Final = "topic"
RETRY_TIER_SECONDS: Final = (5, 30, 300, 1800)
# The broker's own count is a last resort: our attempt header decides long before.
DELIVERY_LIMIT: Final = 100
# Each look at a dead message counts as a delivery, and one that is over the limit is dropped, as
# it can die nowhere else. RabbitMQ 4 limits to 20 where nothing is said; RabbitMQ 3.10 returns
# messages to where they were only where a limit is said. So one is said that no looking reaches.
DEAD_DELIVERY_LIMIT: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class QueueDeclaration:
    """A durable queue as it is to be.

    Args:
        name: Of the queue.
        arguments: What the broker is told about it; it refuses to declare it with others.
    """

    name: str
    arguments: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Topology:
    """The names of one service's queues.

    Args:
        service: The consumer.
        exchange: Where events are published.
        prefix: Put before each name; tests keep apart by it.
        tier_seconds: Time to live of each retry tier.
    """

    service: str
    exchange: str = EXCHANGE
    prefix: str = ""
    tier_seconds: tuple[float, ...] = RETRY_TIER_SECONDS

    @property
    def exchange_name(self) -> str:
        return self.prefix + self.exchange

    @property
    def queue(self) -> str:
        return f"{self.prefix}{self.service}.events"

    @property
    def dead_queue(self) -> str:
        return f"{self.queue}.dead"

    def retry_queue(self, tier: int) -> str:
        return f"{self.queue}.retry.{tier + 1}"

    @property
    def retry_queues(self) -> tuple[str, ...]:
        return tuple(self.retry_queue(tier) for tier in range(len(self.tier_seconds)))

    @property
    def queues(self) -> tuple[QueueDeclaration, ...]:
        """Every queue of the service: the consuming one, the dead one, and the retry tiers."""
        return (
            QueueDeclaration(
                self.queue,
                _dead_lettering_to(self.dead_queue) | {"x-delivery-limit": DELIVERY_LIMIT},
            ),
            QueueDeclaration(self.dead_queue, _QUORUM | {"x-delivery-limit": DEAD_DELIVERY_LIMIT}),
            *(
                QueueDeclaration(
                    self.retry_queue(tier),
                    _dead_lettering_to(self.queue) | {"x-message-ttl": int(seconds * 1000)},
                )
                for tier, seconds in enumerate(self.tier_seconds)
            ),
        )

    def declare(
        self,
        channel: pika.adapters.blocking_connection.BlockingChannel,
        event_types: Iterable[str],
    ) -> None:
        """Declare exchange, queues and bindings; declaring them again changes nothing.

        Args:
            channel: Open, of a user that may configure.
            event_types: What the service listens to.

        Raises:
            pika.exceptions.ChannelClosedByBroker: one of them exists and is another one; those
                before it are declared.
        """
        self.declare_exchange(channel)
        for queue in self.queues:
            declare_queue(channel, queue)
        for event_type in event_types:
            channel.queue_bind(self.queue, self.exchange_name, routing_key=event_type)

    def declare_exchange(self, channel: pika.adapters.blocking_connection.BlockingChannel) -> None:
        """Declare the exchange that every service publishes to."""
        channel.exchange_declare(self.exchange_name, exchange_type=EXCHANGE_TYPE, durable=True)


def declare_queue(
    channel: pika.adapters.blocking_connection.BlockingChannel, queue: QueueDeclaration
) -> None:
    """Make a queue, or make sure that the one that exists is as declared.

    Raises:
        pika.exceptions.ChannelClosedByBroker: it exists with other arguments.
    """
    channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))


_QUORUM: Final[dict[str, Any]] = {"x-queue-type": "quorum"}


def _dead_lettering_to(queue: str) -> dict[str, Any]:
    return _QUORUM | {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        # Without these two the broker may lose a message between two queues.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
