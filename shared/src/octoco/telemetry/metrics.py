"""The metrics every service has; a service adds its own beside them."""

import os

from prometheus_client import REGISTRY as _PROCESS_REGISTRY
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

HTTP_SECONDS = Histogram(
    "octoco_http_request_seconds",
    "Time from a request's arrival to its answer.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
HTTP_PROBLEMS = Counter(
    "octoco_http_problems_total", "Problem answers, by their stable code.", ["code"]
)
UNIT_RETRIES = Counter(
    "octoco_unit_of_work_retries_total", "Units of work run again, by SQLSTATE.", ["reason"]
)
OUTBOX_WAITING = Gauge(
    "octoco_outbox_waiting", "Messages not yet confirmed.", multiprocess_mode="mostrecent"
)
OUTBOX_OLDEST_AGE = Gauge(
    "octoco_outbox_oldest_age_seconds",
    "Age of the oldest message not yet confirmed.",
    multiprocess_mode="mostrecent",
)
RELAY_LEADER = Gauge(
    "octoco_relay_leader", "1 where this process leads the relay.", multiprocess_mode="mostrecent"
)
RELAY_PUBLISHED = Counter(
    "octoco_relay_published_total", "Messages published, by their fate.", ["fate"]
)
EVENTS_HANDLED = Counter(
    "octoco_events_handled_total",
    "Deliveries by event type and result.",
    ["event_type", "result"],
)
EVENT_SECONDS = Histogram(
    "octoco_event_handling_seconds", "Time to handle a delivery.", ["event_type"]
)
EVENT_BATCH_SIZE = Histogram(
    "octoco_event_batch_size",
    "Deliveries handled together in one unit of work.",
    ["event_type"],
    buckets=(2, 5, 10, 20, 50, 100, 200, 500),
)
EVENT_BATCH_FALLBACKS = Counter(
    "octoco_event_batch_fallbacks_total",
    "Batches whose deliveries were handled one by one instead, by reason.",
    ["event_type", "reason"],
)
PARKED_EVENTS = Gauge(
    "octoco_parked_events", "Events that came too early.", multiprocess_mode="mostrecent"
)
INTENTS_PERFORMED = Counter(
    "octoco_intents_performed_total", "Intents performed, by kind and outcome.", ["kind", "outcome"]
)
JOBS_RUN = Counter("octoco_jobs_run_total", "Periodic jobs run.", ["job", "result"])


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format, of all processes where there are several."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest(_PROCESS_REGISTRY)
