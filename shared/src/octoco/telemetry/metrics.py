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
    "octoco_outbox_waiting",
    "Messages not yet confirmed, as each worker sees them; 100,000 stands for any more.",
    multiprocess_mode="mostrecent",
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
RELAY_HELD_BACK = Gauge(
    "octoco_relay_held_back",
    "Aggregates held back by a message that the broker returned or refused.",
    multiprocess_mode="mostrecent",
)
PUBLISHER_BLOCKED = Gauge(
    "octoco_publisher_blocked",
    "1 while the broker takes no messages, because of its memory or disk alarm.",
    multiprocess_mode="mostrecent",
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
EVENTS_TRIED_AGAIN = Counter(
    "octoco_events_tried_again_total",
    "Tries of an event within its process, after passing trouble.",
    ["event_type"],
)
EVENT_MOVES = Counter(
    "octoco_event_moves_total",
    "Copies sent to a retry tier or to the dead queue, by the queue and what became of them.",
    ["queue", "fate"],
)
EVENT_MOVES_WAITING = Gauge(
    "octoco_event_moves_waiting",
    "Failed events whose copy for a retry tier or the dead queue is not confirmed yet.",
    multiprocess_mode="mostrecent",
)
EVENTS_SET_ASIDE = Counter(
    "octoco_events_set_aside_total",
    "Events that were not handled again because a process had died while it did.",
    ["event_type"],
)
INBOX_DUPLICATES = Counter(
    "octoco_inbox_duplicates_total", "Events that the inbox knew already.", ["event_type"]
)
QUEUE_MESSAGES = Gauge(
    "octoco_queue_messages",
    "Messages ready in the service's queues: its own, the retry tiers, the dead ones.",
    ["queue"],
    multiprocess_mode="mostrecent",
)
QUEUE_CONSUMERS = Gauge(
    "octoco_queue_consumers",
    "Consumers of the service's queues.",
    ["queue"],
    multiprocess_mode="mostrecent",
)
TOPOLOGY_DIFFERS = Gauge(
    "octoco_topology_differs",
    "1 where the broker has an exchange or a queue that is not as declared.",
    multiprocess_mode="mostrecent",
)
PARKED_EVENTS = Gauge(
    "octoco_parked_events", "Events that came too early.", multiprocess_mode="mostrecent"
)
PARKED_OLDEST_AGE = Gauge(
    "octoco_parked_oldest_age_seconds",
    "How long the event that was parked first has been so.",
    multiprocess_mode="mostrecent",
)
PARKED_OVERDUE = Gauge(
    "octoco_parked_overdue",
    "Events parked for longer than EVENT_PARKED_SECONDS_MAX.",
    multiprocess_mode="mostrecent",
)
INTENTS_PERFORMED = Counter(
    "octoco_intents_performed_total", "Intents performed, by kind and outcome.", ["kind", "outcome"]
)
INTENT_CALLS_OVERLONG = Counter(
    "octoco_intent_calls_overlong_total",
    "Calls that took so long that their lease is renewed no more: another executor takes over.",
    ["kind"],
)
INTENTS_DUE = Gauge(
    "octoco_intents_due",
    "Intents that are due, by kind; 10,000 stands for any more.",
    ["kind"],
    multiprocess_mode="mostrecent",
)
INTENT_OLDEST_DUE_AGE = Gauge(
    "octoco_intent_oldest_due_age_seconds",
    "How late the intent is that has been due for longest, by kind; 0 if none is due.",
    ["kind"],
    multiprocess_mode="mostrecent",
)
ROWS_PURGED = Counter(
    "octoco_rows_purged_total", "Rows deleted because they were kept long enough.", ["table"]
)
JOBS_RUN = Counter("octoco_jobs_run_total", "Periodic jobs run.", ["job", "result"])


def count_handled(event_type: str, result: str) -> None:
    """Count what became of an event, and whether the inbox knew it."""
    EVENTS_HANDLED.labels(event_type=event_type, result=result).inc()
    if result == "duplicate":
        INBOX_DUPLICATES.labels(event_type=event_type).inc()


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format, of all processes where there are several."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest(_PROCESS_REGISTRY)
