"""What is done to the system while sagas run, in a seeded order, each at a saga's beginning."""

import random
import threading
from collections.abc import Callable, Sequence
from functools import partial

from octoco.testing import eventually
from octoco.testing.wire import COMMIT, Fate, nothing_happens

from .crashing import STALL, STALLED
from .ground import SERVICES, Ground
from .nursery import SLOTS, topology_of
from .operating import on_broker

# Messages that only one queue takes: without its binding they are returned.
BINDINGS = (
    ("wallet", "payments.deposit.paid.v1"),
    ("wallet", "payments.payout.succeeded.v1"),
    ("payments-gateway", "wallet.deposit.requested.v1"),
    ("payments-gateway", "wallet.withdrawal.requested.v1"),
    ("payments-gateway", "wallet.money_fact.answered.v1"),
)
_LEADERS = """
    SELECT pid, application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND application_name = %s
"""


class Faults:
    """The faults, by name.

    Args:
        ground: Is hurt.
        chance: Decides; seeded.
        say: Told what is done.
    """

    def __init__(
        self, ground: Ground, *, chance: random.Random, say: Callable[[str], None]
    ) -> None:
        self._ground = ground
        self._chance = chance
        self._say = say
        self._over = threading.Event()
        self.kinds: Sequence[Callable[[], None]] = (
            self.broker_stops,
            self.broker_is_killed,
            self.postgres_ends_mid_commit,
            self.two_leaders,
            self.binding_is_deleted,
            self.queue_is_deleted,
            self.web_is_killed,
            self.worker_is_asked_to_end,
            self.all_connections_are_cut,
        )

    def schedule(self, count: int) -> Sequence[Callable[[], None]]:
        """Draw so many faults: every kind comes once before any comes again."""
        drawn: list[Callable[[], None]] = []
        while len(drawn) < count:
            drawn += self._chance.sample(self.kinds, len(self.kinds))
        return drawn[:count]

    def broker_stops(self) -> None:
        self._ground.rabbitmq.stop()
        self._pause(0.5, 2)
        self._ground.rabbitmq.spawn()
        self._ground.rabbitmq.wait_until_ready()

    def broker_is_killed(self) -> None:
        self._ground.rabbitmq.kill()
        self._ground.rabbitmq.spawn()
        self._ground.rabbitmq.wait_until_ready()

    def postgres_ends_mid_commit(self) -> None:
        """End the server while a worker's COMMIT is before it, with it, or just answered."""
        wire = self._ground.unit_wires[self._chance.choice(SERVICES)]
        when = self._chance.choice(["before", "with", "after"])
        ended = threading.Event()
        lock = threading.Lock()

        def end() -> None:
            with lock:
                if not ended.is_set():
                    self._ground.postgres.stop_at_once()
                    ended.set()

        def watch(sent: bytes) -> Fate:
            if sent != COMMIT:
                return Fate.ARRIVES
            wire.watch = nothing_happens
            if when == "before":
                end()
                return Fate.ARRIVES
            threading.Thread(target=end, name="end-postgres", daemon=True).start()
            return Fate.ARRIVES if when == "with" else Fate.ANSWER_IS_LOST

        wire.watch = watch
        # Where nothing is committed it ends all the same.
        ended.wait(3)
        wire.watch = nothing_happens
        end()
        self._ground.postgres.start(
            max_connections="200", shared_buffers="128MB", log_line_prefix="%m [%p] "
        )

    def two_leaders(self) -> None:
        """Let a leader sleep with a batch in hand, cut it off, and wake it beside its successor."""
        service = self._chance.choice(SERVICES)
        journal = self._ground.journal
        for slot in range(SLOTS):
            journal.unmark(f"{STALLED}-{service}-{slot}")
        before = self._leaders(service)
        journal.mark(f"{STALL}-{service}")
        try:
            asleep = eventually(lambda: self._asleep(service), within_seconds=20, what="a batch")
            self._ground.relay_wires[service, asleep[0]].cut()
            eventually(
                lambda: self._leaders(service) - before,
                within_seconds=20,
                what=f"another leader of {service}",
            )
            self._ground.journal.note("two leaders", service=service)
            # The other one is at the same place by now, with the same batch.
            self._pause(0.05, 0.5)
        except AssertionError as error:
            self._say(f"two leaders: {error}")
        finally:
            journal.unmark(f"{STALL}-{service}")

    def binding_is_deleted(self) -> None:
        service, event_type = self._chance.choice(BINDINGS)
        self._ground.journal.note("unbound", event_type=event_type)
        topology = topology_of(service)
        arguments = (topology.queue, topology.exchange_name, event_type)
        on_broker(self._ground, lambda connection: connection.channel().queue_unbind(*arguments))
        self._pause(1, 3)
        on_broker(self._ground, lambda connection: connection.channel().queue_bind(*arguments))

    def queue_is_deleted(self) -> None:
        """Lose what the wallet's queue holds: money facts are repeated until they are answered."""
        for event_type in ("payments.*",):
            self._ground.journal.note("unbound", event_type=event_type)
        queue = topology_of("wallet").queue
        deleted = on_broker(
            self._ground, lambda connection: connection.channel().queue_delete(queue)
        )
        self._say(f"lost {deleted.method.message_count} messages to the wallet")
        self._ground.journal.note("queue deleted", messages=deleted.method.message_count)

    def web_is_killed(self) -> None:
        self._ground.kill_web(self._chance.choice(SERVICES))

    def worker_is_asked_to_end(self) -> None:
        self._ground.terminate_worker(self._chance.choice(SERVICES), self._chance.randrange(SLOTS))

    def all_connections_are_cut(self) -> None:
        for wire in (*self._ground.relay_wires.values(), *self._ground.unit_wires.values()):
            wire.cut()

    def _asleep(self, service: str) -> list[int]:
        journal = self._ground.journal
        return [slot for slot in range(SLOTS) if journal.is_marked(f"{STALLED}-{service}-{slot}")]

    def _leaders(self, service: str) -> set[int]:
        return {row.pid for row in self._ground.rows(_LEADERS, (f"{service}-relay",))}

    def _pause(self, least: float, most: float) -> None:
        # How long something is away is a part of what is done to it: nothing is waited for.
        self._over.wait(self._chance.uniform(least, most))


class Pace:
    """Lets sagas begin, but none before the faults that belong before it have begun.

    Args:
        sagas: How many there are.
        faults: What is done; spread evenly over the beginnings of sagas.
        on_fault: Told of each as it begins.
    """

    def __init__(
        self,
        *,
        sagas: int,
        faults: Sequence[Callable[[], None]],
        on_fault: Callable[[str], None],
    ) -> None:
        self._due_at = [(number + 1) * sagas // (len(faults) + 1) for number in range(len(faults))]
        self._faults = faults
        self._on_fault = on_fault
        self._begun_sagas = 0
        self._begun_faults = 0
        self._changed = threading.Condition()
        self._given_up = False
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._hurt, name="faults", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def begin_saga(self) -> None:
        """Wait for this saga's turn."""
        with self._changed:
            number = self._begun_sagas
            self._begun_sagas += 1
            self._changed.notify_all()
            before = sum(due < number for due in self._due_at)
            self._changed.wait_for(lambda: self._begun_faults >= before or self._given_up)

    def finish(self, *, within_seconds: float) -> None:
        """Wait until the last fault is over."""
        self._thread.join(within_seconds)
        if self.error is not None:
            raise self.error
        assert not self._thread.is_alive(), "the last fault is not over"

    @property
    def begun(self) -> tuple[int, int]:
        """How many sagas and how many faults have begun."""
        with self._changed:
            return self._begun_sagas, self._begun_faults

    def _has_come_to(self, saga: int) -> bool:
        return self._begun_sagas >= saga

    def _hurt(self) -> None:
        try:
            for due, fault in zip(self._due_at, self._faults, strict=True):
                with self._changed:
                    self._changed.wait_for(partial(self._has_come_to, due))
                    self._begun_faults += 1
                    self._changed.notify_all()
                self._on_fault(fault.__name__.replace("_", " "))
                fault()
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for the end
            self.error = error
        finally:
            with self._changed:
                self._given_up = True
                self._changed.notify_all()
