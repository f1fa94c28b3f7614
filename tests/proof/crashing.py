"""Parts of a worker that kill their process at a named point, and handlers that fail on purpose."""

import hashlib
import os
import random
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Generic, TypeVar

from octoco.errors import Refusal
from octoco.events import Event
from octoco.messaging.handling import BatchHandler, Handler
from octoco.messaging.ports import Fate, Publisher, always
from octoco.outbox.ports import OutboxSize, OutboxStore, StoredEvent
from octoco.ports import MessagingUnit, UnitsOfWork
from octoco.testing import eventually

from .journal import Journal

T = TypeVar("T")
U = TypeVar("U", bound=MessagingUnit)

# How often a process dies where it might: once in so many times it comes by.
ONE_IN: Mapping[str, int] = {
    "relay read, not published": 100,
    "relay published, not confirmed": 50,
    "relay confirmed, not deleted": 100,
    "relay deleted": 120,
    "consumer before commit": 400,
    "consumer committed, not acked": 200,
    "executor before commit": 500,
    "executor committed": 500,
}
CALM = "calm"
STALL = "stall"
STALLED = "stalled"
STALL_SECONDS_MAX = 20.0


class Crash:
    """Kills this process with -9 at a point, now and then, unless all is to be calm.

    Args:
        chance: Decides; seeded.
        journal: Is told before.
        who: Which process this is.
    """

    def __init__(self, *, chance: random.Random, journal: Journal, who: Mapping[str, Any]) -> None:
        self._chance = chance
        self._journal = journal
        self._who = who
        self._lock = threading.Lock()

    def __call__(self, point: str) -> None:
        if self.is_drawn(point):
            self.die(point)

    def is_drawn(self, point: str) -> bool:
        with self._lock:
            drawn = self._chance.randrange(ONE_IN[point]) == 0
        return drawn and not self._journal.is_marked(CALM)

    def seconds(self, most: float) -> float:
        with self._lock:
            return self._chance.uniform(0, most)

    def die(self, point: str) -> None:
        self._journal.note("killed", point=point, **self._who)
        os.kill(os.getpid(), signal.SIGKILL)


class CrashingPublisher:
    """Dies before, while and after messages are confirmed; stalls when it is told to.

    A stalled publisher is a leader that sleeps with a batch in hand: when it wakes, it goes on
    with it, whatever happened to its lead meanwhile.
    """

    def __init__(
        self, publisher: Publisher, *, crash: Crash, journal: Journal, service: str, slot: int
    ) -> None:
        self._publisher = publisher
        self._crash = crash
        self._journal = journal
        self._service = service
        self._slot = slot

    def publish(
        self, events: Sequence[Event], *, may_wait: Callable[[], bool] = always
    ) -> list[Fate]:
        if events:
            self._stall_if_told()
            self._crash("relay read, not published")
        with self._perhaps_dying(is_in_use=bool(events)):
            fates = self._publisher.publish(events, may_wait=may_wait)
        if events:
            self._crash("relay confirmed, not deleted")
        return fates

    def close(self) -> None:
        self._publisher.close()

    @contextmanager
    def _perhaps_dying(self, *, is_in_use: bool) -> Iterator[None]:
        point = "relay published, not confirmed"
        is_over = threading.Event()
        if is_in_use and self._crash.is_drawn(point):
            delay = self._crash.seconds(0.004)

            def die() -> None:
                if not is_over.wait(delay):
                    self._crash.die(point)

            threading.Thread(target=die, name="killer", daemon=True).start()
        yield
        is_over.set()

    def _stall_if_told(self) -> None:
        stall = f"{STALL}-{self._service}"
        if not self._journal.is_marked(stall):
            return
        self._journal.mark(f"{STALLED}-{self._service}-{self._slot}")
        with suppress(AssertionError):
            eventually(lambda: not self._journal.is_marked(stall), within_seconds=STALL_SECONDS_MAX)


class CrashingOutbox:
    """Dies when what was confirmed is deleted."""

    def __init__(self, store: OutboxStore, *, crash: Crash) -> None:
        self._store = store
        self._crash = crash

    def lead(self) -> bool:
        return self._store.lead()

    def read(self, *, held_back: Collection[str], limit: int) -> Sequence[StoredEvent]:
        return self._store.read(held_back=held_back, limit=limit)

    def delete(self, ids: Collection[int]) -> None:
        self._store.delete(ids)
        self._crash("relay deleted")

    def measure(self) -> OutboxSize:
        return self._store.measure()

    def close(self) -> None:
        self._store.close()


class CrashingUnits(Generic[U]):
    """Dies just before a commit, and just after it: before the ack, or the call it allows."""

    def __init__(self, units: UnitsOfWork[U], *, crash: Crash) -> None:
        self._units = units
        self._crash = crash

    def run(self, work: Callable[[U], T], *, contended_on: str | None = None) -> T:
        # Calls have threads that are named by their kind.
        is_consumer = threading.current_thread().name.startswith(("handler", "job"))

        def work_and_perhaps_die(unit: U) -> T:
            result = work(unit)
            self._crash("consumer before commit" if is_consumer else "executor before commit")
            return result

        result = self._units.run(work_and_perhaps_die, contended_on=contended_on)
        self._crash("consumer committed, not acked" if is_consumer else "executor committed")
        return result

    def read(self, work: Callable[[U], T]) -> T:
        return self._units.read(work)


class Sabotaged(Refusal):
    """Refused on purpose, once: it goes to the dead queue, and is welcome when it is replayed."""

    code = "sabotaged"


class Stumbled(RuntimeError):
    """Failed on purpose, once: the next try succeeds."""


class Stumbling(Generic[U]):
    """Handlers that refuse some events the first time they see them, and stumble over others.

    Args:
        seed: Decides over which, together with an event's id.
        journal: Remembers which were refused, whatever process did it.
        one_in: Of so many events one is refused, and another one stumbled over.
    """

    def __init__(self, *, seed: str, journal: Journal, one_in: int) -> None:
        self._seed = seed
        self._journal = journal
        self._one_in = one_in

    def handlers(self, handlers: Mapping[str, Handler[U]]) -> dict[str, Handler[U]]:
        def failing_once(handler: Handler[U]) -> Handler[U]:
            def handle(unit: U, event: Event) -> None:
                how = self._fails(event)
                if how and self._journal.mark(self._mark_of(event)):
                    self._journal.note(how, event_id=event.id, event_type=event.type)
                    raise Sabotaged("on purpose") if how == "refused" else Stumbled(event.id)
                handler(unit, event)

            return handle

        return {name: failing_once(handler) for name, handler in handlers.items()}

    def batch_handlers(self, handlers: Mapping[str, BatchHandler[U]]) -> dict[str, BatchHandler[U]]:
        def falling_apart(handler: BatchHandler[U]) -> BatchHandler[U]:
            def handle(unit: U, events: Sequence[Event]) -> None:
                if any(self._is_still_to_fail(event) for event in events):
                    raise Sabotaged("each by itself")
                handler(unit, events)

            return handle

        return {name: falling_apart(handler) for name, handler in handlers.items()}

    def _fails(self, event: Event) -> str | None:
        drawn = hashlib.sha256(f"{self._seed}:{event.id}".encode()).digest()
        number = int.from_bytes(drawn[:4], "big") % self._one_in
        if number > 1 or self._journal.is_marked(CALM):
            return None
        return "refused" if number == 0 else "stumbled"

    def _is_still_to_fail(self, event: Event) -> bool:
        return self._fails(event) is not None and not self._journal.is_marked(self._mark_of(event))

    def _mark_of(self, event: Event) -> str:
        return f"failed-{event.id}"
