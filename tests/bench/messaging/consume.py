"""How fast a worker of the wallet handles paid deposits that wait in its queue."""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.bench.ledger.databases import (
    WalletDatabase,
    deposit_id,
    make_pending_deposits,
    make_wallet_database,
)

from octoco.events import Event
from octoco.messaging.ports import Fate
from octoco.messaging.publisher import ConfirmedPublisher
from octoco.messaging.topology import Topology
from octoco.money import Money
from octoco_runner.credentials import Credentials
from octoco_runner.ports import free_port
from octoco_runner.services import SEAL_KEYS, script
from octoco_runner.story.record import wait_for
from octoco_runner.supervision import clean_environment, tail_of
from payments_gateway.messages.outbound import DepositPaid
from wallet.entrypoints.declaration import EVENTS

from .samples import Part, Samples, Target
from .servers import Servers

ONE_BY_ONE: Final = "consume_events_per_s"
TOGETHER: Final = "consume_batch_events_per_s"
# Takes what the wallet announces, as the queues of other services do.
HEARERS: Final = "bench.hearers"
# No number to reach is asked of it.
TARGETS: Final[Sequence[Target]] = ()
DATABASE: Final = "bench_consume"
MONEY: Final = Money.parse("12.50", "ZAR")
FEE: Final = Money.parse("0.36", "ZAR")
PUBLISHED_AT_ONCE: Final = 500
HANDLED_WITHIN_SECONDS: Final = 240.0
ENDS_WITHIN_SECONDS: Final = 40.0
_SPEED: Final = """
    WITH handled AS (
        SELECT pg_xact_commit_timestamp(xmin) AS at FROM wallet.inbox
        WHERE event_id >= %(first)s AND event_id <= %(last)s
    ), span AS (
        SELECT min(at) AS first, max(at) AS last FROM handled
    )
    SELECT count(*), count(*) FILTER (WHERE at > span.first),
           extract(epoch FROM span.last - span.first), count(DISTINCT at)
    FROM handled, span GROUP BY span.first, span.last
"""
_STATE: Final = """
    SELECT (SELECT count(*) FROM wallet.inbox
            WHERE event_id >= %(first)s AND event_id <= %(last)s),
           (SELECT count(*) FROM wallet.outbox)
"""
_CREDITED: Final = """
    SELECT count(*) FROM wallet.transactions
    WHERE id >= %(first)s AND id <= %(last)s AND status = 'completed'
"""


@dataclass(frozen=True, slots=True)
class ConsumePlan:
    """What is asked of the consumer.

    Args:
        events: In the queue when the worker starts.
        users: That they are about.
    """

    events: int
    users: int


def consume_part(servers: Servers, plan: ConsumePlan, *, folder: Path) -> Part:
    """Prepare a wallet's database and its queue, and say what is measured on them.

    Args:
        servers: Where.
        plan: How much.
        folder: For the worker's log and key.
    """
    database = make_wallet_database(servers.postgresql, DATABASE, users=plan.users)
    topology = Topology("wallet")
    with servers.channel() as channel:
        topology.declare(channel, list(EVENTS.listens))
        channel.queue_declare(HEARERS, durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind(HEARERS, topology.exchange_name, "wallet.#")
    bench = _ConsumeBench(servers, database, topology, plan, folder)
    return Part(
        name="consume",
        slots={
            "consume": partial(bench.measure, ONE_BY_ONE, {"EVENT_BATCH_SIZE": "1"}),
            "consume_batch": partial(bench.measure, TOGETHER, {}),
        },
        report=report,
        targets=TARGETS,
    )


@dataclass(slots=True)
class _ConsumeBench:
    servers: Servers
    database: WalletDatabase
    topology: Topology
    plan: ConsumePlan
    folder: Path
    _next: int = field(default=1)

    def measure(self, figure: str, settings: Mapping[str, str], samples: Samples) -> str:
        numbers = range(self._next, self._next + self.plan.events)
        self._next = numbers.stop
        make_pending_deposits(
            self.servers.postgresql, self.database, numbers=numbers, users=self.plan.users
        )
        self._publish(numbers)
        with self._worker(settings) as is_running:
            self._wait_until_done(numbers, is_running)
        handled, later, seconds, commits = self._one(_SPEED, _ids(numbers, message_id))
        (credited,) = self._one(_CREDITED, _ids(numbers, deposit_id))
        if (handled, credited) != (len(numbers), len(numbers)):
            raise RuntimeError(f"of {len(numbers)} deposits {credited} were credited")
        if not later:
            raise RuntimeError("all of them were credited in one commit: more are needed")
        # What the first commit brought was begun before the clock was.
        rate = later / float(seconds)
        samples.add(figure, rate)
        samples.add(figure.replace("_per_s", "_per_commit"), handled / commits)
        return f"{rate:,.0f} events/s, {handled / commits:,.1f} in a commit"

    def _publish(self, numbers: range) -> None:
        publisher = ConfirmedPublisher(
            url=self.servers.amqp_url, exchange=self.topology.exchange_name
        )
        with closing(publisher):
            for first in range(numbers.start, numbers.stop, PUBLISHED_AT_ONCE):
                some = range(first, min(first + PUBLISHED_AT_ONCE, numbers.stop))
                fates = publisher.publish([_paid(number) for number in some])
                if set(fates) != {Fate.CONFIRMED}:
                    raise RuntimeError("the broker has not taken every event")

    def _wait_until_done(self, numbers: range, is_running: Callable[[], bool]) -> None:
        ids = _ids(numbers, message_id)
        with self.servers.channel() as channel, self._cursor() as cursor:

            def is_done() -> bool:
                if not is_running():
                    raise RuntimeError(f"the worker ended by itself: {tail_of(self._log)}")
                queue = channel.queue_declare(self.topology.queue, passive=True)
                if queue.method.message_count:
                    # Counting rows is work too, so it begins when little is left to wait for.
                    return False
                cursor.execute(_STATE, ids)
                return bool(cursor.fetchone() == (len(numbers), 0))

            if not wait_for(is_done, bool, within_seconds=HANDLED_WITHIN_SECONDS):
                raise RuntimeError("not every event was handled in time")

    @contextmanager
    def _worker(self, settings: Mapping[str, str]) -> Iterator[Callable[[], bool]]:
        environment = {
            **clean_environment(),
            "DATABASE_URL": self.database.service_url,
            "AMQP_URL": self.servers.amqp_url,
            "JWKS_URL": "http://127.0.0.1:9/keys-are-for-the-web-process",
            "WORKER_PORT": str(free_port("worker").number),
            "LEDGER_SEAL_KEYS": Credentials(self.folder).seal_keys(SEAL_KEYS),
            "LEDGER_SEAL_HEADS_FILE": str(self.folder / "heads.jsonl"),
            **settings,
        }
        with (
            self._log.open("ab") as output,
            subprocess.Popen(
                [str(script("wallet")), "worker"],
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield lambda: process.poll() is None
                process.terminate()
                process.wait(ENDS_WITHIN_SECONDS)
            finally:
                process.kill()

    @property
    def _log(self) -> Path:
        return self.folder / "worker.log"

    def _one(self, statement: str, values: Mapping[str, object]) -> Sequence[Any]:
        with self._cursor() as cursor:
            cursor.execute(statement, values)
            row: Sequence[Any] | None = cursor.fetchone()
            return row or ()

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        opened = self.servers.postgresql.connect(self.database.name)
        with closing(opened), opened.cursor() as cursor:
            yield cursor


def message_id(number: int) -> str:
    return f"msg_{number:026d}"


def _paid(number: int) -> Event:
    """What the payments gateway announces when that deposit is paid."""
    now = datetime.now(UTC)
    message = DepositPaid(
        fact_key=f"purchase:bench-{number:026d}",
        purchase_id=f"bench-{number:026d}",
        transaction_id=deposit_id(number),
        money=MONEY,
        fee=FEE,
        paid_at=now,
    )
    return Event(
        id=message_id(number),
        type=message.TYPE,
        source="payments-gateway",
        aggregate_id=message.aggregate_id,
        occurred_at=now,
        data=message.to_data(),
        correlation_id=f"cor_{number:026d}",
        traceparent=f"00-{number + 1:032x}-{number + 1:016x}-01",
    )


def _ids(numbers: range, name: Callable[[int], str]) -> Mapping[str, object]:
    return {"first": name(numbers[0]), "last": name(numbers[-1])}


def report(samples: Samples) -> Mapping[str, object]:
    """Return the agreed keys."""
    return {figure: round(samples.median(figure), 1) for figure in (ONE_BY_ONE, TOGETHER)}
