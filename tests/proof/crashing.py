"""Parts of a worker that kill their process at a named point, and handlers that fail on purpose."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Generic, NoReturn, TypeVar

from octoco.errors import Refusal
from octoco.events import Event
from octoco.messaging.handling import BatchHandler, Handler
from octoco.messaging.ports import Fate, Publisher, always
from octoco.ports import MessagingUnit, UnitsOfWork
from octoco.testing import eventually
from octoco.testing.saboteurs import Chances, Crash, kill_process

from .journal import Journal

T = TypeVar("T")
U = TypeVar("U", bound=MessagingUnit)

# How often a process dies where it might: once in so many times it comes by.
ONE_IN: Mapping[str, int] = {
    "relay read, not published": 60,
    "relay published, not confirmed": 50,
    "relay confirmed, not deleted": 60,
    "after outbox.delete": 120,
    "consumer before commit": 200,
    "consumer committed, not acked": 60,
    "executor before commit": 500,
    "executor committed": 500,
}
CALM = "calm"
STALL = "stall"
STALLED = "stalled"
STALL_SECONDS_MAX = 45.0
# Within this a broker of this machine has confirmed.
CONFIRM_SECONDS = 0.004


class MarkedChances(Chances):
    """Chances that are calm while a mark says so, in whatever process they are drawn."""

    def __init__(self, seed: int, *, journal: Journal) -> None:
        super().__init__(seed)
        self._journal = journal

    def happens(self, one_in: int) -> bool:
        return super().happens(one_in) and not self._journal.is_marked(CALM)


class Killer:
    """Ends this process at a named point now and then, and writes down where before it does.

    Args:
        seed: Decides when.
        journal: Is told, and says when all is to be calm.
        who: Which process this is.
    """

    def __init__(self, seed: int, *, journal: Journal, who: Mapping[str, Any]) -> None:
        self.chances = MarkedChances(seed, journal=journal)
        self.crash = Crash(self.chances, one_in=ONE_IN, die=self.die)
        self._journal = journal
        self._who = who

    def die(self, point: str) -> NoReturn:
        self._journal.note("killed", point=point, **self._who)
        kill_process(point)


class CrashingPublisher:
    """Dies before, while and after messages are confirmed; stalls when it is told to.

    A stalled publisher is a leader that sleeps with a batch in hand: when it wakes, it goes on
    with it, whatever happened to its lead meanwhile.
    """

    def __init__(
        self, publisher: Publisher, *, killer: Killer, journal: Journal, service: str, slot: int
    ) -> None:
        self._publisher = publisher
        self._killer = killer
        self._journal = journal
        self._service = service
        self._slot = slot

    def publish(
        self, events: Sequence[Event], *, may_wait: Callable[[], bool] = always
    ) -> list[Fate]:
        if events:
            self._stall_if_told()
            self._killer.crash.reach("relay read, not published")
        with self._perhaps_dying(is_in_use=bool(events)):
            fates = self._publisher.publish(events, may_wait=may_wait)
        if events:
            self._killer.crash.reach("relay confirmed, not deleted")
        return fates

    def close(self) -> None:
        self._publisher.close()

    @contextmanager
    def _perhaps_dying(self, *, is_in_use: bool) -> Iterator[None]:
        point = "relay published, not confirmed"
        is_over = threading.Event()
        if is_in_use and self._killer.chances.happens(ONE_IN[point]):
            delay = self._killer.chances.random.uniform(0, CONFIRM_SECONDS)

            def die() -> None:
                if not is_over.wait(delay):
                    self._killer.die(point)

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
            self._crash.reach("consumer before commit" if is_consumer else "executor before commit")
            return result

        result = self._units.run(work_and_perhaps_die, contended_on=contended_on)
        self._crash.reach("consumer committed, not acked" if is_consumer else "executor committed")
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
