"""A world of workers in one thread: what happens next is drawn by a seed, and time is virtual.

Nothing waits and nothing sleeps, so thousands of steps take a second, and the same seed gives the
same steps again.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any, Final, Generic, TypeVar
from unittest.mock import patch

from octoco.clock import FixedClock
from octoco.messaging.connecting import Connect
from octoco.messaging.deliveries import Delivery, Verdict
from octoco.messaging.failures import copy_properties
from octoco.messaging.handling import EventHandling
from octoco.messaging.topology import Topology
from octoco.ports import MessagingUnit
from octoco.testing.saboteurs import Chances, SimulatedCrash

U = TypeVar("U", bound=MessagingUnit)

PREFETCH: Final = 8
_BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)


class VirtualClock(FixedClock):
    """The time of a world: an instant for clocks, and seconds for what measures how long it took.

    Args:
        at: Where it stands first, timezone-aware.
    """

    def __init__(self, at: datetime = _BEGINNING) -> None:
        super().__init__(at)
        self._began = self.now()

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass; what is due then is due when it is next looked for."""
        self.advance(timedelta(seconds=seconds))

    def monotonic(self) -> float:
        """Return how many seconds have passed since the beginning, and a thousand more."""
        return 1000.0 + (self.now() - self._began).total_seconds()

    def instead_of_monotonic(self) -> AbstractContextManager[object]:
        """Let this be `time.monotonic` for the block."""
        return patch("time.monotonic", self.monotonic)


class NeverWaits(threading.Event):
    """A `stop` for code that runs in steps: waiting for it takes virtual time only.

    Args:
        clock: Of the world.
    """

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self._clock.pass_seconds(timeout or 0.0)
        return self.is_set()


class SteppedConsumer(Generic[U]):
    """Consumes at each step what a worker's thread takes in hand, handled and settled as by it.

    That is one delivery, or those that came in a row of a type that is handled in batches.

    Args:
        connect: To the broker.
        topology: Declared first.
        handling: What to do with a delivery.
        stop: Never waits.
        prefetch: Most deliveries fetched and not acked.
    """

    def __init__(
        self,
        *,
        connect: Connect,
        topology: Topology,
        handling: EventHandling[U],
        stop: threading.Event,
        prefetch: int = PREFETCH,
    ) -> None:
        self._handling = handling
        self._stop = stop
        self._waiting: list[Delivery] = []
        self._connection = connect()
        self._channel = self._connection.channel()
        topology.declare(self._channel, handling.event_types)
        self._channel.confirm_delivery()
        self._channel.basic_qos(prefetch_count=prefetch)
        self._channel.basic_consume(topology.queue, self._on_delivery, auto_ack=False)

    def step(self) -> bool:
        """Handle what is next, and carry out what is to become of it.

        Returns:
            Whether there was anything.

        Raises:
            pika.exceptions.AMQPError: the connection is gone, and this with it.
        """
        self._connection.process_data_events(time_limit=0)
        if not self._waiting:
            return False
        hand = self._take_hand()
        if len(hand) == 1:
            self.settle(hand[0], self._handling.judge(hand[0], self._stop))
        else:
            for judged in self._handling.judge_all(hand, self._stop, lambda: hand):
                for delivery, verdict in judged:
                    self.settle(delivery, verdict)
        return True

    def settle(self, delivery: Delivery, verdict: Verdict) -> None:
        """Publish the copy of what failed, and ack the original after it."""
        if verdict.move_to is not None:
            self.move(verdict.move_to, copy_properties(delivery, verdict), delivery.body)
        if verdict.move_to is not None or verdict.is_done:
            self._channel.basic_ack(delivery.tag)

    def move(self, queue: str, properties: Any, body: bytes) -> None:
        """Publish a copy to a queue of ours; see `octoco.messaging.mover.Mover.move`."""
        self._channel.basic_publish("", queue, body, properties, mandatory=True)

    def close(self) -> None:
        """End the connection; what is not acked goes back."""
        if self._connection.is_open:
            self._connection.close()

    def _take_hand(self) -> list[Delivery]:
        first = self._waiting[0]
        row = [first]
        if first.event_type in self._handling.batch_types:
            row = list(
                takewhile(
                    lambda one: one.event_type == first.event_type and one.is_first_try,
                    self._waiting,
                )
            ) or [first]
        del self._waiting[: len(row)]
        return row

    def _on_delivery(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        delivery = Delivery(method.delivery_tag, properties, body, method.redelivered)
        self._waiting.append(delivery)


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody in a world who does one thing at a time.

    Args:
        name: For the journal of what happened.
        step: Does the next thing; says whether there was one.
        restart: Called after the step died or lost its connections; begins as a new process.
    """

    name: str
    step: Callable[[], bool]
    restart: Callable[[], object]


class Scheduler:
    """Lets actors take steps in an order that its chances decide.

    Args:
        chances: Seeded.
        clock: Moved a little with each step.
        lost: What a step may raise when it has lost a connection.
    """

    def __init__(
        self, chances: Chances, clock: VirtualClock, *, lost: tuple[type[Exception], ...]
    ) -> None:
        self._chances = chances
        self._clock = clock
        self._lost = lost
        self.journal: list[str] = []
        self.actors: list[Actor] = []

    def run(self, steps: int) -> None:
        """Take so many steps, of whomever, with pauses of up to a second now and then."""
        draw = self._chances.random
        for _ in range(steps):
            if draw.random() < 0.1:
                self._clock.pass_seconds(draw.uniform(0, 1))
            self.take_step(draw.choice(self.actors))

    def run_until_quiet(self, *, steps_max: int, quiet_seconds: float) -> None:
        """Take everybody's steps until nobody has anything to do, for long.

        Args:
            steps_max: A world that takes more is not getting anywhere.
            quiet_seconds: For how long nobody must have anything to do; beyond every wait in it.

        Raises:
            AssertionError: it is not quiet after all these steps.
        """
        quiet_since = self._clock.monotonic()
        for _ in range(steps_max):
            # Everybody's, and not only until the first who has something to do.
            busy = [actor.name for actor in self.actors if self.take_step(actor)]
            if busy:
                quiet_since = self._clock.monotonic()
            elif self._clock.monotonic() - quiet_since > quiet_seconds:
                return
            else:
                self._clock.pass_seconds(quiet_seconds / 40)
        raise AssertionError(f"the world is not quiet after {steps_max} rounds")

    def take_step(self, actor: Actor) -> bool:
        """Let an actor take its next step; one that dies begins anew.

        Returns:
            Whether there was anything to do, dying included.
        """
        try:
            did_something = actor.step()
            self.journal.append(f"{actor.name}: {'works' if did_something else 'idle'}")
        except SimulatedCrash as crash:
            self.journal.append(f"{actor.name}: dies, {crash}")
        except self._lost as error:
            self.journal.append(f"{actor.name}: {type(error).__name__}")
        else:
            return did_something
        actor.restart()
        return True

    def tail(self, count: int = 60) -> Sequence[str]:
        """Return the last steps, for a message of what went wrong."""
        return self.journal[-count:]
