"""Spans as tests see them: those of this process, and those that processes send to a collector."""

import gzip
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from octoco.spans import install_tracer
from octoco.telemetry.traces import OpenTelemetryTracer


@dataclass(frozen=True, slots=True)
class SeenSpan:
    """One span.

    Args:
        service: Who made it; empty where one process makes all.
        name: What was done.
        kind: `server`, `client`, `producer`, `consumer` or `internal`.
        trace_id: Whose part it is.
        span_id: Its own.
        parent_id: Of the span it is a part or a consequence of; None for the first one.
        links: Trace and span ids of those it points to.
        attributes: What is known of it.
        failed: Whether it is marked as gone wrong.
    """

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str | None
    links: Sequence[tuple[str, str]]
    attributes: Mapping[str, Any]
    failed: bool


class SeenSpans:
    """The spans that have ended so far."""

    def all(self) -> Sequence[SeenSpan]:
        raise NotImplementedError

    def named(self, name: str) -> Sequence[SeenSpan]:
        return [span for span in self.all() if span.name == name]

    def of_trace(self, trace_id: str) -> Sequence[SeenSpan]:
        return [span for span in self.all() if span.trace_id == trace_id]


def orphans(spans: Sequence[SeenSpan]) -> Sequence[SeenSpan]:
    """Return the spans whose parent is not among them."""
    known = {(span.trace_id, span.span_id) for span in spans}
    return [
        span
        for span in spans
        if span.parent_id is not None and (span.trace_id, span.parent_id) not in known
    ]


class _SpansOfThisProcess(SeenSpans):
    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def all(self) -> Sequence[SeenSpan]:
        return [_seen(span) for span in self._exporter.get_finished_spans()]


@contextmanager
def recorded_spans() -> Iterator[SeenSpans]:
    """Record all steps of this process for the block."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    install_tracer(OpenTelemetryTracer(provider))
    try:
        yield _SpansOfThisProcess(exporter)
    finally:
        install_tracer(None)
        provider.shutdown()


class Collector(SeenSpans):
    """What OTEL_EXPORTER_OTLP_ENDPOINT may name: takes spans by OTLP over HTTP and keeps them."""

    def __init__(self) -> None:
        self._spans: list[SeenSpan] = []
        self._changed = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def all(self) -> Sequence[SeenSpan]:
        with self._changed:
            return list(self._spans)

    def take(self, request: ExportTraceServiceRequest) -> None:
        """Keep the spans of one request."""
        seen = [
            _read(span, service=_values(resource.resource.attributes).get("service.name", ""))
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._changed:
            self._spans.extend(seen)


_KINDS = ("", "internal", "server", "client", "producer", "consumer")
_FAILED = 2


def _seen(span: ReadableSpan) -> SeenSpan:
    context = span.get_span_context()
    assert context is not None
    return SeenSpan(
        service="",
        name=span.name,
        kind=span.kind.name.lower(),
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=None if span.parent is None else f"{span.parent.span_id:016x}",
        links=[
            (f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") for link in span.links
        ],
        attributes=dict(span.attributes or {}),
        failed=span.status.status_code.value == _FAILED,
    )


def _read(span: Any, *, service: str) -> SeenSpan:
    return SeenSpan(
        service=service,
        name=span.name,
        kind=_KINDS[span.kind],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() or None,
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        attributes=_values(span.attributes),
        failed=span.status.code == _FAILED,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {
        one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value")
        for one in attributes
    }
