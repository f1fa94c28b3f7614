"""What an operator does while all this happens: replay what died, push what waits for long."""

import threading
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import Any, TypeVar

import pika
import pika.exceptions

from octoco.database import Database
from octoco.errors import Unavailable
from octoco.messaging.dead_letters import DeadLetters, ReplayRefused, Wanted
from octoco.messaging.deliveries import ATTEMPT_HEADER
from octoco.messaging.failures import own_headers
from octoco.messaging.wire import PERSISTENT
from octoco.testing import eventually
from octoco_runner.services import service_url

from .crashing import Sabotaged
from .ground import SERVICES, Ground
from .nursery import topology_of

T = TypeVar("T")

EVERY_SECONDS = 2.0
BROKER_SECONDS = 60
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
        on_error: Told at once that a message died which was not meant to, or the like.
    """

    def __init__(self, ground: Ground, *, on_error: Callable[[], None]) -> None:
        self._ground = ground
        self._on_error = on_error
        self._databases = {
            service: Database(service_url(ground.place, service), application_name=service)
            for service in SERVICES
        }
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
        for database in self._databases.values():
            database.dispose()
        if self.error is not None:
            raise self.error

    def come_by(self) -> None:
        """Replay and push once.

        Raises:
            AssertionError: a message died that was not meant to.
        """
        for service, database in self._databases.items():
            replay = partial(replay_dead, service=service, database=database)
            # While the queue is gone, or the database: the message stays dead until next time.
            with suppress(Unavailable, ReplayRefused):
                self.replayed += on_broker(self._ground, replay)
        self.pushed += len(self._ground.rows(_PUSH))

    def _work(self) -> None:
        try:
            while not self._over.wait(EVERY_SECONDS):
                self.come_by()
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for the end
            self.error = error
            self._on_error()


def replay_dead(connection: Any, *, service: str, database: Database) -> int:
    """Send every dead message to its queue again, with the operators' tool and then by hand.

    Returns:
        How many messages there were.

    Raises:
        AssertionError: one died that was not meant to.
        Unavailable: the database is away, or somebody else looks.
        ReplayRefused: the queue is gone.
    """
    topology = topology_of(service)
    letters = DeadLetters(connection=connection, topology=topology, database=database)
    if not letters.depth():
        return 0
    with letters.look() as messages:
        dead = list(messages)
    for message in dead:
        is_meant = (message.reason or "").startswith(Sabotaged.code)
        assert is_meant, f"died unmeant: {dict(message.headers)} {message.body!r}"
    wanted = Wanted(ids=frozenset(message.id for message in dead))
    letters.replay(wanted, on_looked=lambda *_: None)
    channel = connection.channel()
    channel.confirm_delivery()
    for message in dead:
        again = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=PERSISTENT,
            message_id=message.id,
            type=message.event_type,
            headers=own_headers(message.headers) | {ATTEMPT_HEADER: 0},
        )
        channel.basic_publish("", topology.queue, message.body, again, mandatory=True)
    return len(dead)


def on_broker(ground: Ground, work: Callable[[Any], T]) -> T:
    """Do work on a connection, again from the start where the broker goes away meanwhile."""

    def done() -> tuple[T] | None:
        try:
            with closing(ground.rabbitmq.connect()) as connection:
                return (work(connection),)
        except (pika.exceptions.AMQPError, OSError):
            return None

    return eventually(done, within_seconds=BROKER_SECONDS, what="the broker")[0]
