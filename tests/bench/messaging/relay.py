"""How fast the relay is: a backlog carried away, and a steady stream's way to its confirms."""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg2

from octoco.database.tables import messaging_tables_v1
from octoco.events import Event
from octoco.messaging.ports import Fate, Publisher, always
from octoco.messaging.publisher import ConfirmedPublisher
from octoco.messaging.topology import Topology
from octoco.outbox.bell import BellListener
from octoco.outbox.relay import Relay
from octoco.outbox.store import PostgresOutboxStore
from octoco.testing import eventually

from .announcer import SERVICE, TYPE, announce_steadily
from .samples import Part, Samples, Target, percentile
from .servers import Schema, Servers

STARTS_WITHIN_SECONDS: Final = 30.0
ENDS_WITHIN_SECONDS: Final = 30.0
TARGETS: Final = (
    Target("relay_events_per_s", 5000, at_least=True),
    Target("commit_to_confirmed_p50_ms", 15, at_least=False),
    Target("commit_to_confirmed_p99_ms", 100, at_least=False),
)
_BACKLOG: Final = """
    INSERT INTO outbox (message_id, event_type, aggregate_id, occurred_at, data,
                        correlation_id, causation_id, traceparent)
    SELECT 'msg_' || lpad(i::text, 26, '0'), %(type)s,
           'dep_' || lpad((i * 7919 %% %(aggregates)s)::text, 26, '0'), now(),
           jsonb_build_object(
               'deposit_id', 'dep_' || lpad((i * 7919 %% %(aggregates)s)::text, 26, '0'),
               'amount', '123.45', 'currency', 'ZAR', 'paid_at', now()::text,
               'purchase_id', gen_random_uuid()::text, 'number', i),
           'cor_' || lpad(i::text, 26, '0'), 'msg_' || lpad((i - 1)::text, 26, '0'),
           '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    FROM generate_series(1, %(rows)s) AS i
"""


@dataclass(frozen=True, slots=True)
class RelayPlan:
    """What is asked of the relay.

    Args:
        rows: Of the backlog.
        aggregates: That they are about; several messages each.
        rate: Messages a second of the steady stream.
        seconds: How long it lasts.
    """

    rows: int
    aggregates: int
    rate: int
    seconds: float


def relay_part(servers: Servers, plan: RelayPlan) -> Part:
    """Prepare a schema and a bound queue, and say what is measured on them."""
    schema = servers.schema(SERVICE)
    _execute(schema.owner_url, messaging_tables_v1(SERVICE))
    topology = Topology(SERVICE)
    with servers.channel() as channel:
        topology.declare(channel, [TYPE])
    bench = _RelayBench(servers, schema, topology, plan)
    return Part(
        name="relay",
        slots={"relay": bench.backlog, "commit_to_confirmed": bench.stream},
        report=report,
        targets=TARGETS,
    )


@dataclass(frozen=True, slots=True)
class _RelayBench:
    servers: Servers
    schema: Schema
    topology: Topology
    plan: RelayPlan

    def backlog(self, samples: Samples) -> str:
        self._empty()
        values = {
            "type": TYPE,
            "rows": self.plan.rows,
            "aggregates": self.plan.aggregates,
        }
        _execute(self.schema.service_url, _BACKLOG, values)
        store, publisher = self._store(), self._publisher()
        relay = Relay(store, publisher)
        with closing(store), closing(publisher):
            assert store.lead()
            done = relay.relay_once()  # The first connects.
            began, ended = time.monotonic(), time.monotonic()
            counted = 0
            while counted + done < self.plan.rows:
                counted += relay.relay_once()
                ended = time.monotonic()
        rate = counted / (ended - began)
        samples.add("relay_events_per_s", rate)
        return f"{rate:,.0f} events/s, ordered and confirmed"

    def stream(self, samples: Samples) -> str:
        self._empty()
        confirmed: dict[str, float] = {}
        relay = Relay(self._store(), _Timed(self._publisher(), confirmed))
        with _running(relay, self.schema):
            committed = _announced(self.schema, self.plan)
            eventually(
                lambda: len(confirmed) == len(committed),
                within_seconds=ENDS_WITHIN_SECONDS,
                what="a confirm of every message",
            )
        latencies = sorted(
            1000 * (confirmed[message_id] - at) for message_id, at in committed.items()
        )
        for percent in (50, 99):
            samples.add(f"commit_to_confirmed_p{percent}_ms", percentile(latencies, percent))
        rate = len(latencies) / (max(committed.values()) - min(committed.values()))
        samples.add("stream_events_per_s", rate)
        return (
            f"p50 {percentile(latencies, 50):.1f} ms, p99 {percentile(latencies, 99):.1f} ms "
            f"at {rate:,.0f}/s"
        )

    def _store(self) -> PostgresOutboxStore:
        return PostgresOutboxStore(url=self.schema.service_url, service=SERVICE)

    def _publisher(self) -> ConfirmedPublisher:
        return ConfirmedPublisher(url=self.servers.amqp_url, exchange=self.topology.exchange_name)

    def _empty(self) -> None:
        _execute(self.schema.owner_url, "TRUNCATE outbox")
        with self.servers.channel() as channel:
            channel.queue_purge(self.topology.queue)


class _Timed:
    """A publisher that notes when each event's confirm was known to the relay."""

    def __init__(self, publisher: Publisher, confirmed: dict[str, float]) -> None:
        self._publisher = publisher
        self._confirmed = confirmed

    def publish(
        self, events: Sequence[Event], *, may_wait: Callable[[], bool] = always
    ) -> list[Fate]:
        fates = self._publisher.publish(events, may_wait=may_wait)
        now = time.monotonic()
        for event, fate in zip(events, fates, strict=True):
            if fate is Fate.CONFIRMED:
                self._confirmed.setdefault(event.id, now)
        return fates

    def close(self) -> None:
        self._publisher.close()


def _execute(url: str, statement: str, values: Mapping[str, object] | None = None) -> None:
    with (
        closing(psycopg2.connect(url)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement, values)


def _announced(schema: Schema, plan: RelayPlan) -> dict[str, float]:
    """Let another process commit messages; when each commit was done, in monotonic seconds."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=announce_steadily,
        args=(theirs, schema.service_url),
        kwargs={"rate": plan.rate, "seconds": plan.seconds},
        daemon=True,
    )
    process.start()
    theirs.close()
    try:
        if not ours.poll(STARTS_WITHIN_SECONDS + plan.seconds):
            raise RuntimeError("the announcing process has not ended in time")
        committed: dict[str, float] = ours.recv()
    finally:
        process.join(ENDS_WITHIN_SECONDS)
        process.kill()
    return committed


@contextmanager
def _running(relay: Relay, schema: Schema) -> Iterator[None]:
    stop = threading.Event()
    bell = BellListener(url=schema.service_url, service=SERVICE, on_ring=relay.wake)
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in (relay, bell)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(ENDS_WITHIN_SECONDS)


def report(samples: Samples) -> Mapping[str, object]:
    """Return the agreed keys."""
    return {
        "relay_events_per_s": round(samples.median("relay_events_per_s"), 1),
        "commit_to_confirmed_ms": {
            f"p{percent}": round(samples.median(f"commit_to_confirmed_p{percent}_ms"), 2)
            for percent in (50, 99)
        },
    }
