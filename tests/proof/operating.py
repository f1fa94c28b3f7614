"""What an operator does while all this happens: replay what died, push what waits for long."""

import json
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import pika.exceptions

from octoco.testing import eventually

from .ground import SERVICES, Ground
from .nursery import topology_of

EVERY_SECONDS = 2.0
REPLAYS = 2
BROKER_SECONDS = 60
OURS = ("x-octoco-", "x-death", "x-first-death", "x-last-death")
# The schedule is for a wallet that is away for long.
_PUSH = """
    UPDATE payments_gateway.intents SET due_at = clock_timestamp()
    WHERE finished_at IS NULL AND kind = 'repeat_money_fact'
      AND created_at < clock_timestamp() - interval '8 seconds'
      AND due_at > clock_timestamp() + interval '1 second'
    RETURNING subject_id
"""


class Operator:
    """Comes by every few seconds.

    Args:
        ground: Is looked after.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="operator", daemon=True)
        self.replayed = 0
        self.pushed = 0
        self.error: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(BROKER_SECONDS)
        if self.error is not None:
            raise self.error

    def come_by(self) -> None:
        """Replay and push once.

        Raises:
            AssertionError: a message died that was not meant to.
        """
        for service in SERVICES:
            self.replayed += on_channel(self._ground, partial(replay_dead, service=service))
        self.pushed += len(self._ground.rows(_PUSH))

    def _work(self) -> None:
        try:
            while not self._over.wait(EVERY_SECONDS):
                self.come_by()
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for the end
            self.error = error


def replay_dead(channel: Any, *, service: str) -> int:
    """Send every dead message to its queue again, twice.

    Returns:
        How many messages there were.

    Raises:
        AssertionError: one died that was not meant to.
    """
    channel.confirm_delivery()
    topology = topology_of(service)
    count = 0
    while True:
        method, properties, body = channel.basic_get(topology.dead_queue)
        if method is None:
            return count
        reason = str((properties.headers or {}).get("x-octoco-reason"))
        what = json.dumps(properties.headers, default=str)
        assert reason.startswith("sabotaged"), f"died unmeant: {what} {body!r}"
        properties.headers = {
            name: value for name, value in properties.headers.items() if not name.startswith(OURS)
        }
        for _ in range(REPLAYS):
            channel.basic_publish("", topology.queue, body, properties, mandatory=True)
        channel.basic_ack(method.delivery_tag)
        count += 1


def on_channel(ground: Ground, work: Callable[[Any], Any]) -> Any:
    """Do work on a channel, again from the start where the broker goes away meanwhile."""

    def done() -> tuple[Any] | None:
        try:
            with closing(ground.rabbitmq.connect()) as connection:
                return (work(connection.channel()),)
        except (pika.exceptions.AMQPError, OSError):
            return None

    return eventually(done, within_seconds=BROKER_SECONDS, what="the broker")[0]
