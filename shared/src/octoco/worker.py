"""The worker process of a service: consumer, relay, executor and periodic jobs side by side."""

import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, TypeVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog

from octoco.context import WorkContext, work_context
from octoco.database import Database, PostgresUnit
from octoco.errors import Unavailable
from octoco.inbox.parked import PostgresParkedStore
from octoco.inbox.suspects import PostgresSuspectStore
from octoco.intents.executor import Executor
from octoco.intents.intent import IntentHandler
from octoco.intents.leases import PostgresIntentLeases
from octoco.intents.overview import IntentOverview
from octoco.messaging.connecting import connecting_to
from octoco.messaging.consumer import Consumer
from octoco.messaging.contracts import Contracts
from octoco.messaging.handling import BatchHandler, EventHandling, Handler
from octoco.messaging.publisher import ConfirmedPublisher
from octoco.messaging.queue_watch import QueueWatch
from octoco.messaging.settings import EventSettings
from octoco.messaging.topology import Topology
from octoco.outbox.archive import (
    KEEP_EVERY_SECONDS,
    OutboxArchive,
    OutboxSettings,
    types_with_secrets,
)
from octoco.outbox.bell import BellListener
from octoco.outbox.relay import Relay
from octoco.outbox.store import PostgresOutboxStore
from octoco.ports import UnitsOfWork
from octoco.retention import (
    PURGE_EVERY_SECONDS,
    Kept,
    Purge,
    RetentionSettings,
    kept_by_every_service,
)
from octoco.telemetry.health import health_application
from octoco.telemetry.metrics import JOBS_RUN
from octoco.telemetry.traces import shut_down_traces

U = TypeVar("U", bound=PostgresUnit)

PARKED_EVERY_SECONDS: Final = 1.0
SUSPECTS_EVERY_SECONDS: Final = 3600.0
MEASURE_INTENTS_EVERY_SECONDS: Final = 15.0
SHUTDOWN_SECONDS: Final = 25.0
FAILED_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class PeriodicJob:
    """Something done again and again.

    Args:
        name: For logs and metrics.
        every_seconds: From the end of one run to the beginning of the next.
        run: The work; an exception is logged and the job runs again.
    """

    name: str
    every_seconds: float
    run: Callable[[], object]


@dataclass(frozen=True)
class WorkerParts(Generic[U]):
    """What a service brings to its worker.

    Args:
        service: Its name: source of its messages, prefix of its queues.
        database_url: libpq URL of the service's own role.
        database: The same, with connections.
        units: The service's units of work.
        contracts: The message schemas.
        amqp_url: The broker.
        subscriptions: A handler for each event type it listens to.
        batch_subscriptions: For some of these types, a handler of several events at once, with
            the same effect as the other one called for each.
        events: How many events are handled at once, and how long one may take.
        intents: A handler for each kind of intent.
        forgettable_intents: Kinds whose subjects never come again, so that finished ones may be
            forgotten.
        outbox: What becomes of messages that are confirmed.
        retention: How long what every service has is kept.
        kept: How long more tables of its own are.
        jobs: What is done periodically.
        host: Where health and metrics answer.
        port: Likewise; 0 picks a free one.
        topology: Queue names; the service's own if None.
    """

    service: str
    database_url: str
    database: Database
    units: UnitsOfWork[U]
    contracts: Contracts
    amqp_url: str
    subscriptions: Mapping[str, Handler[U]]
    batch_subscriptions: Mapping[str, BatchHandler[U]] = field(default_factory=dict)
    events: EventSettings = field(default_factory=EventSettings)
    intents: Mapping[str, IntentHandler[U, Any, Any]] = field(default_factory=dict)
    forgettable_intents: Collection[str] = ()
    outbox: OutboxSettings = field(default_factory=OutboxSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    kept: Sequence[Kept] = ()
    jobs: Sequence[PeriodicJob] = ()
    host: str = "127.0.0.1"
    port: int = 0
    topology: Topology | None = None


class Worker(Generic[U]):
    """Runs the parts of a worker in threads; if one of them dies, so does the process."""

    def __init__(self, parts: WorkerParts[U]) -> None:
        topology = parts.topology or Topology(parts.service)
        self._parts = parts
        self._log = structlog.get_logger("octoco.worker")
        self._handling = EventHandling(
            subscriptions=parts.subscriptions,
            batch_subscriptions=parts.batch_subscriptions,
            units=parts.units,
            database=parts.database,
            parked=PostgresParkedStore(parts.database),
            suspects=PostgresSuspectStore(parts.database),
            contracts=parts.contracts,
            topology=topology,
            settings=parts.events,
        )
        self._consumer = Consumer(
            connect=connecting_to(parts.amqp_url),
            topology=topology,
            handling=self._handling,
            settings=parts.events,
        )
        self._queue_watch = QueueWatch(
            connect=connecting_to(parts.amqp_url),
            topology=topology,
            event_types=self._handling.event_types,
        )
        self._relay = Relay(
            PostgresOutboxStore(
                url=parts.database_url,
                service=parts.service,
                archives=parts.outbox.archive_days > 0,
                without_body=types_with_secrets(parts.contracts),
            ),
            ConfirmedPublisher(url=parts.amqp_url, exchange=topology.exchange_name),
        )
        self._executor = Executor(
            leases=PostgresIntentLeases(parts.database),
            units=parts.units,
            handlers=parts.intents,
        )
        self._bell = BellListener(url=parts.database_url, service=parts.service, on_ring=self._wake)
        self.failed = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set or a part dies; what is in hand is finished first."""
        loops: dict[str, Callable[[threading.Event], None]] = {
            "consumer": self._consumer.run,
            "queues": self._queue_watch.run,
            "relay": self._relay.run,
            "executor": self._executor.run,
            "bell": self._bell.run,
        }
        for job in (*self._own_jobs(), *self._parts.jobs):
            loops[f"job-{job.name}"] = self._repeat(job)
        server = self._serve_health()
        threads = [
            threading.Thread(target=self._guard, args=(name, loop, stop), name=name)
            for name, loop in loops.items()
        ]
        for thread in threads:
            thread.start()
        stop.wait()
        # Where a part has died, what it hung at would only keep the next process waiting.
        grace = FAILED_SECONDS if self.failed.is_set() else SHUTDOWN_SECONDS
        deadline = time.monotonic() + grace
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        server.shutdown()
        server.server_close()

    def readiness(self) -> Mapping[str, bool]:
        """Say for each thing the worker needs whether it is there."""
        try:
            self._parts.database.check()
            database = True
        except Unavailable:
            database = False
        return {"database": database, "broker": self._consumer.is_connected}

    def _own_jobs(self) -> Sequence[PeriodicJob]:
        suspects = PostgresSuspectStore(self._parts.database)
        return (
            PeriodicJob(
                "parked_events",
                PARKED_EVERY_SECONDS,
                partial(self._handling.take_up_parked, self._consumer.move),
            ),
            PeriodicJob("suspects", SUSPECTS_EVERY_SECONDS, suspects.forget),
            PeriodicJob(
                "measure_intents",
                MEASURE_INTENTS_EVERY_SECONDS,
                partial(IntentOverview(self._parts.database).measure, self._parts.intents),
            ),
            PeriodicJob("purge", PURGE_EVERY_SECONDS, self._purge().run),
            *self._archive_jobs(),
        )

    def _archive_jobs(self) -> Sequence[PeriodicJob]:
        days = self._parts.outbox.archive_days
        if not days:
            return ()
        archive = OutboxArchive(self._parts.database, days=days)
        return (PeriodicJob("outbox_archive", KEEP_EVERY_SECONDS, archive.keep),)

    def _purge(self) -> Purge:
        parts = self._parts
        everywhere = kept_by_every_service(
            parts.retention, forgettable_intents=parts.forgettable_intents
        )
        return Purge(parts.database, (*everywhere, *parts.kept))

    def _wake(self) -> None:
        self._relay.wake()
        self._executor.wake()

    def _guard(
        self, name: str, loop: Callable[[threading.Event], None], stop: threading.Event
    ) -> None:
        try:
            loop(stop)
            if not stop.is_set():
                raise RuntimeError(f"{name} ended by itself")
        except Exception:  # noqa: BLE001 - half a worker is worse than none: all of it ends
            self._log.exception("worker_part_died", part=name)
            self.failed.set()
            stop.set()

    def _repeat(self, job: PeriodicJob) -> Callable[[threading.Event], None]:
        def loop(stop: threading.Event) -> None:
            while not stop.is_set():
                try:
                    # What one run sets in motion belongs together; each of it begins a trace.
                    with work_context(WorkContext()):
                        job.run()
                    JOBS_RUN.labels(job=job.name, result="done").inc()
                except Unavailable as error:
                    JOBS_RUN.labels(job=job.name, result="unavailable").inc()
                    self._log.warning("job_unavailable", job=job.name, error=error.message)
                except Exception:  # noqa: BLE001 - the job runs again, and its failures ring
                    JOBS_RUN.labels(job=job.name, result="failed").inc()
                    self._log.exception("job_failed", job=job.name)
                stop.wait(job.every_seconds)

        return loop

    def _serve_health(self) -> WSGIServer:
        server = make_server(
            self._parts.host,
            self._parts.port,
            health_application(self.readiness),
            handler_class=_SilentHandler,
        )
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
        return server


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: probes come every few seconds."""


def run_worker(parts: WorkerParts[U]) -> None:
    """Run the worker until SIGTERM or SIGINT; exit with 1 if a part of it died."""
    stop = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop.set())
    worker = Worker(parts)
    worker.run(stop)
    shut_down_traces()
    # Threads that did not end in time must not keep the process: what they hold comes again.
    os._exit(1 if worker.failed.is_set() else 0)
