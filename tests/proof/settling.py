"""After the last fault: wait until nothing moves any more, with an operator's help."""

from collections import deque
from contextlib import closing, suppress
from typing import Any

import requests

from octoco.messaging.topology import Topology
from octoco.testing import eventually

from .ground import SERVICES, Ground
from .nursery import topology_of
from .operating import Operator

STILL_LOOKS = 3
_LEFT = """
    SELECT 'outbox of the wallet', count(*) FROM wallet.outbox
    UNION ALL SELECT 'outbox of the gateway', count(*) FROM payments_gateway.outbox
    UNION ALL SELECT 'parked at the wallet', count(*) FROM wallet.parked_events
    UNION ALL SELECT 'parked at the gateway', count(*) FROM payments_gateway.parked_events
    UNION ALL SELECT 'money facts without an answer', count(*) FROM payments_gateway.money_facts
        WHERE answered_at IS NULL
    UNION ALL SELECT 'webhooks not looked into', count(*) FROM payments_gateway.webhook_deliveries
        WHERE finished_at IS NULL
    UNION ALL SELECT 'intents under way', count(*) FROM payments_gateway.intents
        WHERE finished_at IS NULL AND kind NOT LIKE 'poll_%'
"""


def settle(ground: Ground, operator: Operator, *, within_seconds: float) -> dict[str, int]:
    """Wait until nothing is left anywhere, several looks in a row.

    Returns:
        What is left when time is up; empty if nothing is.
    """
    looks: deque[dict[str, int]] = deque(maxlen=STILL_LOOKS)

    def is_still() -> bool:
        operator.come_by()
        requests.post(f"{ground.sandbox}/control/webhooks/hurry", json={}, timeout=10)
        looks.append(_left(ground))
        return len(looks) == STILL_LOOKS and not any(looks)

    with suppress(AssertionError):
        eventually(is_still, within_seconds=within_seconds)
        return {}
    return looks[-1]


def _left(ground: Ground) -> dict[str, int]:
    left = {what: int(count) for what, count in ground.rows(_LEFT)}
    with closing(ground.rabbitmq.connect()) as connection:
        channel = connection.channel()
        for topology in map(topology_of, SERVICES):
            for name in (topology.queue, *topology.retry_queues, topology.dead_queue):
                left[name] = _depth(channel, name)
        name = Topology("notifications").queue
        left[name] = _depth(channel, name)
    pending = requests.get(
        f"{ground.sandbox}/control/deliveries", params={"state": "pending"}, timeout=10
    )
    left["webhooks not delivered"] = len(pending.json()["results"])
    return {what: count for what, count in left.items() if count}


def _depth(channel: Any, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).method.message_count)
