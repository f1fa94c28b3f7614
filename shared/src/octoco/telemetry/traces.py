"""Traces by OpenTelemetry: the steps of `octoco.spans` recorded, and sent to a collector.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) names one. All else
is said by OpenTelemetry's own variables: OTEL_TRACES_SAMPLER (by the parent's decision if not
said), OTEL_EXPORTER_OTLP_HEADERS, OTEL_BSP_*, OTEL_RESOURCE_ATTRIBUTES, OTEL_SDK_DISABLED.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TracerProvider,
    set_span_in_context,
)
from opentelemetry.trace import Span as OpenTelemetrySpan

from octoco.errors import ConfigurationError
from octoco.spans import Attributes, Kind, Span, install_tracer

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"
# What is recorded when the process ends is worth so much waiting for a collector, and no more.
SHUTDOWN_SECONDS: Final = 3.0
_KINDS: Final = {
    Kind.SERVER: SpanKind.SERVER,
    Kind.CLIENT: SpanKind.CLIENT,
    Kind.PRODUCER: SpanKind.PRODUCER,
    Kind.CONSUMER: SpanKind.CONSUMER,
    Kind.INTERNAL: SpanKind.INTERNAL,
}


class _RecordedSpan:
    def __init__(self, span: OpenTelemetrySpan) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = (
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"
        )

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def link(self, traceparent: str) -> None:
        self._span.add_link(_span_context(traceparent))

    def fail(self, code: str) -> None:
        self._span.set_attribute("error.type", code)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        self._span.end()


class OpenTelemetryTracer:
    """See `octoco.spans.Tracer`.

    Args:
        provider: Samples the spans and takes them in.
    """

    records = True

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("octoco")

    def start(
        self,
        name: str,
        *,
        kind: Kind,
        parent: str | None,
        links: Sequence[str],
        attributes: Attributes | None,
    ) -> Span:
        # An empty context, and not the current one: whose step it is was said by the caller.
        context = Context()
        if parent is not None:
            context = set_span_in_context(NonRecordingSpan(_span_context(parent)), context)
        return _RecordedSpan(
            self._tracer.start_span(
                name,
                context=context,
                kind=_KINDS[kind],
                attributes=attributes,
                links=[Link(_span_context(link)) for link in links],
            )
        )


def _span_context(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(
        trace_id=int(trace_id, 16),
        span_id=int(span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(flags, 16)),
    )


def are_wanted(environment: Mapping[str, str]) -> bool:
    """Say whether spans are to be sent anywhere.

    Args:
        environment: With OpenTelemetry's variables.

    Raises:
        ConfigurationError: they are, in a way that this service has not.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return False
    if not any(environment.get(name, "").strip() for name in _ENDPOINTS):
        return False
    for name in _PROTOCOLS:
        if environment.get(name, "").strip() not in ("", _PROTOCOL):
            raise ConfigurationError(f"{name} must be {_PROTOCOL}")
    return True


def configure_traces(*, service: str, process: str) -> None:
    """Record spans and send them, if the environment names a collector.

    The sender is a thread: it is started in the process that records, so after any fork. A
    collector that is away costs spans and lines in the log, never a request.

    Args:
        service: Whose spans they are, unless OTEL_SERVICE_NAME says so.
        process: `web` or `worker`.

    Raises:
        ConfigurationError: see `are_wanted`.
    """
    if not are_wanted(os.environ):
        return
    # Only who records pays for loading all this.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider as Provider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    attributes = {"service.namespace": "octoco", "octoco.process": process}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        attributes["service.name"] = service
    provider = Provider(resource=Resource.create(attributes), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _running.append(provider.shutdown)
    install_tracer(OpenTelemetryTracer(provider))


_running: list[Callable[[], None]] = []


def shut_down_traces() -> None:
    """Record no more and send what is recorded, at the end of the process.

    A collector that does not answer is waited for no longer than `SHUTDOWN_SECONDS`.
    """
    install_tracer(None)
    while _running:
        # The library would wait for half a minute, which the process has not.
        sending = threading.Thread(target=_running.pop(), name="last-spans", daemon=True)
        sending.start()
        sending.join(SHUTDOWN_SECONDS)
