"""Steps of traces: new ids at every hop, one trace for what belongs together, and no errors."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping

import pytest
from flask import Flask, g
from flask.testing import FlaskClient
from flask_smorest import Blueprint
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from octoco.context import (
    WorkContext,
    caused_by,
    current_context,
    new_traceparent,
    read_traceparent,
    span_id_of,
    trace_id_of,
    work_context,
)
from octoco.database import Database
from octoco.errors import ConfigurationError
from octoco.http import HttpParts, create_app
from octoco.spans import Kind, are_recorded, continued, ended_at_commit, hand_on, span
from octoco.telemetry import traces
from octoco.testing import eventually
from octoco.testing.traces import SeenSpans, orphans, recorded_spans

TRACE = "0af7651916cd43dd8448eb211c80319c"
GIVEN = f"00-{TRACE}-b7ad6b7169203331-01"
HOSTILE = [
    "",
    "00",
    "00-" + "0" * 32 + "-b7ad6b7169203331-01",
    f"00-{TRACE}-" + "0" * 16 + "-01",
    f"ff-{TRACE}-b7ad6b7169203331-01",
    f"00-{TRACE.upper()}-b7ad6b7169203331-01",
    f"00-{TRACE}-b7ad6b7169203331-01-more",
    f"00-{TRACE}-b7ad6b7169203331-01, {GIVEN}",
    f"00-{TRACE}-b7ad6b7169203331",
    GIVEN + "x" * 10_000,
    f"00-{TRACE}-b7ad6b716920333\u0661-01",
    "'; DROP TABLE outbox; --",
]


@pytest.fixture
def spans() -> Iterator[SeenSpans]:
    with recorded_spans() as seen:
        yield seen


# ---- what comes from outside ----


@pytest.mark.parametrize("hostile", [*HOSTILE, None, 5, b"00", {"a": 1}])
def test_what_is_no_traceparent_begins_a_trace(hostile: object) -> None:
    assert read_traceparent(hostile) is None


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.*"))
def test_whatever_comes_is_read_as_version_00_or_not_at_all(given_text: str) -> None:
    found = read_traceparent(given_text)
    assert found is None or (len(found) == 55 and found[:3] == "00-" and found[-2:] in {"00", "01"})
    assert found is None or read_traceparent(found) == found


def test_a_version_to_come_is_read_as_far_as_it_is_known() -> None:
    assert read_traceparent(f"01-{TRACE}-b7ad6b7169203331-03-what.ever") == GIVEN


# ---- where nothing is recorded ----


def test_without_a_tracer_each_hop_has_new_ids_in_the_same_trace() -> None:
    with span("outer", context=WorkContext(traceparent=GIVEN)) as outer, span("inner") as inner:
        stored = hand_on("create", context=current_context())
    hops = [GIVEN, outer.traceparent, inner.traceparent, stored]
    assert {trace_id_of(hop) for hop in hops} == {TRACE}
    assert len({span_id_of(hop) for hop in hops}) == len(hops)
    assert {hop[-2:] for hop in hops} == {"01"}
    assert not are_recorded()


def test_a_trace_that_begins_unrecorded_says_so() -> None:
    first = read_traceparent(new_traceparent())
    assert first is not None
    assert first.endswith("-00")


def test_what_a_block_is_caused_by_leaves_its_request_and_its_trace() -> None:
    context = WorkContext("cor_1", "msg_1", GIVEN)
    with work_context(context), caused_by("whd_1"):
        assert current_context() == WorkContext("cor_1", "whd_1", GIVEN)


# ---- what is recorded ----


def test_a_step_within_a_step_is_its_child_and_the_first_has_no_parent(spans: SeenSpans) -> None:
    with span("request", kind=Kind.SERVER):
        with span("call", kind=Kind.CLIENT):
            pass
        hand_on("create", context=current_context())
    call, create, request = spans.all()
    assert (request.parent_id, request.kind) == (None, "server")
    assert (call.parent_id, call.kind) == (request.span_id, "client")
    assert (create.parent_id, create.kind) == (request.span_id, "producer")
    assert len({one.trace_id for one in spans.all()}) == 1


def test_an_error_is_recorded_by_its_name_and_never_by_its_message(spans: SeenSpans) -> None:
    with pytest.raises(ValueError, match="secret"), span("step"):
        raise ValueError("a secret of somebody@example.com")
    (step,) = spans.all()
    assert step.failed
    assert step.attributes == {"error.type": "ValueError"}


def test_messages_of_a_unit_that_is_undone_never_were(spans: SeenSpans) -> None:
    def store(name: str) -> None:
        hand_on(name, context=current_context())

    with contextlib.suppress(ZeroDivisionError), ended_at_commit():
        store("undone")
        raise ZeroDivisionError
    with ended_at_commit() as stored:
        store("lost its race")
        stored.clear()
        store("committed")
        assert spans.all() == []
    assert [one.name for one in spans.all()] == ["committed"]


def test_a_saga_goes_on_in_its_own_trace_whoever_moves_it(spans: SeenSpans) -> None:
    with span("deposit requested", context=WorkContext("req_deposit")):
        origin = current_context()
    with span("webhook", context=WorkContext("req_webhook")), caused_by("whd_1"):
        with continued(origin, "record"):
            moved = current_context()
            hand_on("paid", context=moved)
        assert current_context().correlation_id == "req_webhook"
    (webhook,) = spans.named("webhook")
    (record,) = spans.named("record")
    (paid,) = spans.named("paid")
    (asked,) = spans.named("deposit requested")
    assert (moved.correlation_id, moved.causation_id) == ("req_deposit", "whd_1")
    assert record.trace_id == paid.trace_id == asked.trace_id != webhook.trace_id
    assert record.parent_id == asked.span_id
    assert record.links == [(webhook.trace_id, webhook.span_id)]
    assert webhook.links == [(record.trace_id, record.span_id)]
    assert orphans(spans.all()) == []


def test_a_request_that_moves_anothers_saga_on_is_named_as_the_cause() -> None:
    deposit = WorkContext("req_deposit", traceparent=GIVEN)
    with span("cancel", context=WorkContext("req_cancel")), continued(deposit, "cancel deposit"):
        assert current_context().causation_id == "req_cancel"


def test_what_is_of_the_saga_already_goes_on_without_a_step(spans: SeenSpans) -> None:
    with span("poll", context=WorkContext("req_deposit", "msg_1", GIVEN)):
        before = current_context()
        with continued(WorkContext("req_deposit", traceparent=GIVEN), "record"):
            assert current_context() == before
    assert [one.name for one in spans.all()] == ["poll"]


def test_what_the_parent_did_not_record_is_not_recorded_and_keeps_its_trace(
    spans: SeenSpans,
) -> None:
    with span("step", context=WorkContext(traceparent=GIVEN[:-1] + "0")) as step:
        assert trace_id_of(step.traceparent) == TRACE
        assert span_id_of(step.traceparent) != span_id_of(GIVEN)
        assert step.traceparent.endswith("-00")
    assert spans.all() == []


# ---- requests ----


@pytest.fixture
def client() -> FlaskClient:
    routes = Blueprint("probe", __name__)

    @routes.route("/v1/things/<thing>", methods=["GET"])
    @routes.route("/called-back", methods=["POST"])
    def answer(thing: str = "") -> dict[str, str | None]:
        return {"traceparent": current_context().traceparent, "request_id": g.request_id}

    @routes.route("/v1/broken", methods=["GET"])
    def broken() -> None:
        raise RuntimeError("a secret")

    app: Flask = create_app(
        HttpParts(
            service="probe",
            title="Probe",
            database=Database("postgresql://127.0.0.1:1/none", application_name="probe"),
            token_keys=_NoKeys(),
            blueprints=(routes,),
            raw_body_paths=frozenset({"/called-back"}),
            callback_paths=frozenset({"/called-back"}),
        )
    )
    return app.test_client()


def _said(answer: TestResponse) -> str:
    return str((answer.json or {})["traceparent"])


class _NoKeys:
    def find(self, kid: str) -> None:
        return None


def test_a_request_goes_on_with_its_clients_trace(client: FlaskClient, spans: SeenSpans) -> None:
    headers = {"traceparent": GIVEN, "tracestate": "vendor=1,,=,\u00e9"}
    answer = client.get("/v1/things/thing_1?email=somebody@example.com", headers=headers)
    (request,) = spans.all()
    assert (request.trace_id, request.parent_id) == (TRACE, span_id_of(GIVEN))
    assert _said(answer) == f"00-{request.trace_id}-{request.span_id}-01"
    assert (request.name, request.kind) == ("GET /v1/things/<thing>", "server")
    assert request.attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/things/<thing>",
        "http.response.status_code": 200,
        "octoco.correlation_id": answer.headers["X-Request-Id"],
    }


@pytest.mark.parametrize("hostile", [one for one in HOSTILE if one.isascii()])
def test_a_hostile_traceparent_of_a_client_begins_a_trace(
    client: FlaskClient, spans: SeenSpans, hostile: str
) -> None:
    assert client.get("/v1/things/thing_1", headers={"traceparent": hostile}).status_code == 200
    (request,) = spans.all()
    assert request.parent_id is None
    assert request.trace_id != TRACE


def test_what_third_parties_call_begins_a_trace_whatever_they_send(
    client: FlaskClient, spans: SeenSpans
) -> None:
    answer = client.post("/called-back", data=b"{}", headers={"traceparent": GIVEN[:-1] + "0"})
    (request,) = spans.all()
    assert (request.parent_id, _said(answer)[-2:]) == (None, "01")


def test_a_bug_marks_the_request_and_tells_nothing(client: FlaskClient, spans: SeenSpans) -> None:
    assert client.get("/v1/broken").status_code == 500
    (request,) = spans.all()
    assert request.failed
    assert request.attributes["error.type"] == "500"
    assert "secret" not in str(request)


def test_probes_and_made_up_methods_name_no_spans(client: FlaskClient, spans: SeenSpans) -> None:
    client.get("/health/live")
    client.get("/metrics")
    client.open("/nowhere", method="MADEUP")
    assert [one.name for one in spans.all()] == ["HTTP unmatched"]


# ---- settings ----

COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        (COLLECTOR, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({**COLLECTOR, "OTEL_SDK_DISABLED": "true"}, False),
        ({**COLLECTOR, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_spans_are_sent_where_opentelemetrys_variables_say(
    environment: Mapping[str, str],
    wanted: bool,  # noqa: FBT001 - pytest's parameter
) -> None:
    assert traces.are_wanted(environment) is wanted


def test_a_protocol_that_is_not_there_stops_the_process() -> None:
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_PROTOCOL must be http/proto"):
        traces.are_wanted({**COLLECTOR, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


def test_a_collector_that_never_answers_keeps_no_process_from_ending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setattr(traces, "SHUTDOWN_SECONDS", 0.2)
        traces.configure_traces(service="probe", process="web")
        with span("step"):
            pass
        assert are_recorded()
        ending = threading.Thread(target=traces.shut_down_traces)
        ending.start()
        ending.join(2)
        assert not ending.is_alive()
        assert not are_recorded()
        # Whoever still waits is answered at last, so that no thread outlives the test.
        connection, _ = silent.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            eventually(lambda: "last-spans" not in {one.name for one in threading.enumerate()})
