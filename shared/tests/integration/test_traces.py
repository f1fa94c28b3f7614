"""One trace from a request to its last effect, on real PostgreSQL and RabbitMQ and processes."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from octoco.context import WorkContext, context_of, current_context, span_id_of, trace_id_of
from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.errors import TooEarly
from octoco.events import Event
from octoco.intents import Done, Intent
from octoco.messaging.contracts import Contracts
from octoco.messaging.deliveries import Delivery
from octoco.messaging.topology import Topology
from octoco.messaging.wire import to_properties
from octoco.spans import Kind, span
from octoco.telemetry.logs import configure_logging
from octoco.testing import eventually
from octoco.testing.provisions import ProvisionedSchema
from octoco.testing.traces import Collector, SeenSpan, SeenSpans, orphans, recorded_spans
from octoco.worker import Worker, WorkerParts

from .conftest import EVENT_TYPE, Happened

Units = PostgresUnitsOfWork[PostgresUnit]
ROOT = "POST /v1/things"
PROCESS, CREATE = f"process {EVENT_TYPE}", f"create {EVENT_TYPE}"


class Saga:
    """A request announces 1; 1 wants a call; the call announces 2; 2 is too early, once."""

    schedule_seconds: Sequence[float] = (10,)

    def __init__(self) -> None:
        self.contexts: dict[str, WorkContext] = {}
        self.early = True

    def handle(self, unit: PostgresUnit, event: Event) -> None:
        number = event.data["n"]
        self.contexts[f"handle {number}"] = current_context()
        if number == 1:
            unit.intents.add(kind="probe", subject_id="thing")
        elif number == 2 and self.early:
            self.early = False
            raise TooEarly(waits_for="another try")
        elif number == 2:
            unit.outbox.add(Happened("last", 3))

    def handle_all(self, unit: PostgresUnit, events: Sequence[Event]) -> None:
        unit.outbox.add_all(
            [Happened("made", event.data["n"]) for event in events],
            contexts=[context_of(event) for event in events],
        )

    def prepare(self, unit: PostgresUnit, intent: Intent) -> str:
        return intent.subject_id

    def call(self, prepared: str) -> str:
        with span("outside", kind=Kind.CLIENT):
            return prepared

    def record(self, unit: PostgresUnit, intent: Intent, *, prepared: str, answer: str) -> Done:
        self.contexts["record"] = current_context()
        unit.outbox.add(Happened("thing", 2))
        return Done()


@pytest.fixture
def spans() -> Iterator[SeenSpans]:
    with recorded_spans() as seen:
        yield seen


@pytest.fixture
def worker_of(
    database: Database,
    units: Units,
    contracts: Contracts,
    schema: ProvisionedSchema,
    amqp_url: str,
    topology_of: Callable[..., Topology],
) -> Callable[..., Worker[PostgresUnit]]:
    def make(saga: Saga, *, batches: bool = False) -> Worker[PostgresUnit]:
        return Worker(
            WorkerParts(
                service="probe",
                database_url=schema.service_url,
                database=database,
                units=units,
                contracts=contracts,
                amqp_url=amqp_url,
                subscriptions={EVENT_TYPE: saga.handle},
                batch_subscriptions={EVENT_TYPE: saga.handle_all} if batches else {},
                intents={"probe": saga},
                topology=topology_of("probe"),
            )
        )

    return make


@pytest.fixture
def saga(units: Units, worker_of: Callable[..., Worker[PostgresUnit]]) -> Iterator[Saga]:
    saga = Saga()
    worker = worker_of(saga)
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: all(worker.readiness().values()), what="a ready worker")
        with span(ROOT, kind=Kind.SERVER, context=WorkContext("req_1")):
            units.run(lambda unit: unit.outbox.add(Happened("thing", 1)))
        yield saga
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def _handled(saga: Saga, spans: SeenSpans) -> Sequence[SeenSpan]:
    # 1, 2 too early, 2, and 3 that the last one announced.
    eventually(lambda: len(spans.named(PROCESS)) >= 4, what="all of it handled")
    return spans.all()


def test_all_that_a_request_sets_in_motion_is_one_trace_without_an_orphan(
    spans: SeenSpans, saga: Saga
) -> None:
    seen = _handled(saga, spans)
    (request,) = spans.named(ROOT)
    assert {one.trace_id for one in seen} == {request.trace_id}
    assert orphans(seen) == []
    assert [one.name for one in seen if one.parent_id is None] == [ROOT]
    (outside,) = spans.named("outside")
    (perform,) = spans.named("perform probe")
    # From the last message back to the request, each step by what caused it.
    assert _path(outside, seen) == [perform.name, PROCESS, CREATE, ROOT]
    last = spans.named(CREATE)[-1]
    assert _path(last, seen) == [PROCESS, CREATE, perform.name, PROCESS, CREATE, ROOT]


def test_each_message_names_what_caused_it_and_all_share_the_request(
    spans: SeenSpans, saga: Saga
) -> None:
    _handled(saga, spans)
    first, second, third = (one.attributes["messaging.message.id"] for one in spans.named(CREATE))
    eventually(lambda: "handle 3" in saga.contexts)
    assert saga.contexts["handle 1"].causation_id == first
    # The call was wanted by whoever handled the first message, so that is what caused the second.
    assert saga.contexts["record"].causation_id == first
    assert saga.contexts["handle 2"].causation_id == second
    assert saga.contexts["handle 3"].causation_id == third
    assert {context.correlation_id for context in saga.contexts.values()} == {"req_1"}


def test_nothing_personal_is_in_any_span(spans: SeenSpans, saga: Saga) -> None:
    names = {name for one in _handled(saga, spans) for name in one.attributes}
    assert names <= {
        "messaging.system",
        "messaging.operation.name",
        "messaging.operation.type",
        "messaging.rabbitmq.destination.routing_key",
        "messaging.message.id",
        "messaging.message.conversation_id",
        "octoco.aggregate_id",
        "octoco.source",
        "octoco.result",
        "octoco.intent.kind",
        "octoco.intent.subject_id",
        "octoco.intent.attempt",
        "octoco.correlation_id",
        "octoco.outcome",
    }


def test_a_batch_is_a_step_of_its_own_and_its_events_go_on_in_their_traces(
    spans: SeenSpans, worker_of: Callable[..., Worker[PostgresUnit]], database: Database
) -> None:
    handling = worker_of(Saga(), batches=True)._handling
    events = [_event(number) for number in (1, 2, 3)]
    deliveries = [Delivery(event.data["n"], *to_properties(event)) for event in events]
    list(handling.judge_all(deliveries, threading.Event(), lambda: deliveries))
    (batch,) = spans.named(f"process batch {EVENT_TYPE}")
    assert [f"00-{trace}-{span_id}-01" for trace, span_id in batch.links] == [
        event.traceparent for event in events
    ]
    rows = database.read(
        lambda c: c.exec_driver_sql(
            "SELECT traceparent, causation_id, correlation_id FROM outbox ORDER BY id"
        ).all()
    )
    assert [tuple(row)[1:] for row in rows] == [
        (event.id, event.correlation_id) for event in events
    ]
    for event, row in zip(events, rows, strict=True):
        assert event.traceparent is not None
        process, create = sorted(spans.of_trace(trace_id_of(event.traceparent)), key=_by_kind)
        assert process.parent_id == span_id_of(event.traceparent)
        assert process.links == [(batch.trace_id, batch.span_id)]
        assert create.parent_id == process.span_id == row_parent(spans, row.traceparent)


def test_a_unit_that_lost_its_race_has_stored_its_message_once(
    spans: SeenSpans, units: Units, database: Database
) -> None:
    tries: list[str] = []

    def store(unit: PostgresUnit) -> None:
        tries.append(unit.outbox.add(Happened("thing", 1)))
        if len(tries) == 1:
            unit.connection.exec_driver_sql(
                "DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$"
            )

    units.run(store)
    (stored,) = database.read(
        lambda c: c.exec_driver_sql("SELECT message_id, traceparent FROM outbox").all()
    )
    (created,) = spans.named(CREATE)
    assert created.attributes["messaging.message.id"] == stored.message_id == tries[1]
    assert created.span_id == span_id_of(stored.traceparent)


def test_a_message_with_a_hostile_traceparent_is_handled_in_a_trace_of_its_own(
    spans: SeenSpans, worker_of: Callable[..., Worker[PostgresUnit]]
) -> None:
    handling = worker_of(Saga())._handling
    for number, hostile in enumerate(["00-evil", "x" * 100_000, 7, b"\xff\x00", None, True]):
        properties, body = to_properties(_event(1, event_id=f"msg_{number}"))
        properties.headers["cloudEvents_traceparent"] = hostile
        verdict = handling.judge(Delivery(number, properties, body), threading.Event())
        assert verdict.result == "handled"
    handled = spans.named(PROCESS)
    assert [one.parent_id for one in handled] == [None] * 6
    assert len({one.trace_id for one in handled}) == 6


def test_lines_of_the_log_carry_the_ids_of_their_step(
    capsys: pytest.CaptureFixture[str],
    spans: SeenSpans,
    worker_of: Callable[..., Worker[PostgresUnit]],
) -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    try:
        configure_logging(service="probe", process="worker", level="info")
        handling = worker_of(Saga())._handling
        delivery = Delivery(1, *to_properties(_event(1)))
        handling.judge(delivery, threading.Event())
    finally:
        root.handlers, root.level = before
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (handled,) = [line for line in lines if line["event"] == "event_handled"]
    (process,) = spans.named(PROCESS)
    assert (handled["trace_id"], handled["span_id"]) == (process.trace_id, process.span_id)
    assert (handled["correlation_id"], handled["causation_id"]) == ("cor_1", "msg_1")


WEB = """
import os
from flask_smorest import Blueprint
from octoco.database import Database
from octoco.http import HttpParts, create_app
from octoco.telemetry.traces import configure_traces

class NoKeys:
    def find(self, kid):
        return None

def web():
    configure_traces(service="probe", process="web")
    routes = Blueprint("probe", __name__)

    @routes.route("/pid")
    def pid():
        return {"pid": os.getpid()}

    return create_app(HttpParts(
        service="probe", title="Probe", token_keys=NoKeys(), blueprints=(routes,),
        database=Database("postgresql://127.0.0.1:1/none", application_name="probe"),
    ))
"""


def test_every_forked_web_process_sends_its_spans_and_the_last_ones_at_its_end(
    tmp_path: Path,
) -> None:
    (tmp_path / "probe_web.py").write_text(WEB)
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    with Collector() as collector:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
            "WEB_PORT": str(port),
            "WEB_WORKERS": "2",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            # Nothing is sent before the end, but what the end sends.
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
        }
        command = [sys.executable, "-m", "gunicorn", "-c", "python:octoco.http.gunicorn_settings"]
        process = subprocess.Popen([*command, "probe_web:web()"], env=environment)
        try:
            asked: list[int] = []
            eventually(lambda: _ask(port, asked) and len(set(asked)) == 2, within_seconds=30)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        seen = collector.named("GET /pid")
    assert len(seen) == len(asked)
    assert {(one.service, one.parent_id) for one in seen} == {("probe", None)}
    assert len({one.trace_id for one in seen}) == len(asked)


def _ask(port: int, asked: list[int]) -> bool:
    try:
        # A connection of its own each time, so that both processes get their turn.
        asked.append(requests.get(f"http://127.0.0.1:{port}/pid", timeout=5).json()["pid"])
    except requests.ConnectionError:
        return False
    return True


def _event(number: int, *, event_id: str | None = None) -> Event:
    return Event(
        id=event_id or f"msg_{number}",
        type=EVENT_TYPE,
        source="probe",
        aggregate_id=f"thing {number}",
        occurred_at=datetime.now(UTC),
        data={"n": number},
        correlation_id=f"cor_{number}",
        traceparent=f"00-{number:032x}-{number:016x}-01",
    )


def _by_kind(one: SeenSpan) -> bool:
    return one.kind == "producer"


def row_parent(spans: SeenSpans, traceparent: Any) -> str | None:
    """Return the parent of the step whose ids a stored message carries."""
    (step,) = [one for one in spans.all() if one.span_id == span_id_of(traceparent)]
    return step.parent_id


def _path(one: SeenSpan, seen: Sequence[SeenSpan]) -> list[str]:
    by_id = {other.span_id: other for other in seen}
    names = []
    while one.parent_id is not None:
        one = by_id[one.parent_id]
        names.append(one.name)
    return names
