"""What a message carries of its own failures: written by the consumer, read by the tools."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pika

from octoco.inbox.parked import ParkedEvent
from octoco.messaging.deliveries import ATTEMPT_HEADER, REASON_HEADER, Delivery, Verdict
from octoco.messaging.wire import PERSISTENT, to_properties

STACK_HEADER: Final = "x-octoco-stack"
FAILED_AT_HEADER: Final = "x-octoco-failed-at"
FIRST_FAILED_AT_HEADER: Final = "x-octoco-first-failed-at"
HISTORY_HEADER: Final = "x-octoco-history"
REPLAYED_HEADER: Final = "x-octoco-replayed"
# When an event was parked first, if it has been moved since.
PARKED_AT_HEADER: Final = "x-octoco-parked-at"

HISTORY_MAX: Final = 10
REASON_CHARACTERS: Final = 500
# The broker writes these itself; in a copy they would speak of another message's way.
_OF_THE_BROKER: Final = (
    "x-death",
    "x-first-death-",
    "x-last-death-",
    "x-delivery-count",
    "x-acquired-count",
)


def history_of(headers: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the failures that a message tells of: `at`, `attempt` and `reason`, newest last.

    Headers come from outside: what is no such list counts as none, and what is no entry is left
    out.
    """
    text = (headers or {}).get(HISTORY_HEADER)
    try:
        entries = json.loads(text) if isinstance(text, str) else []
    except ValueError:
        entries = []
    if not isinstance(entries, list):
        return []
    return [entry for entry in entries if isinstance(entry, dict)]


def own_headers(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a message's headers without those that the broker has added on its way.

    Floating-point numbers, which pika reads and cannot write, become text.
    """
    return {
        name: _writable(value)
        for name, value in (headers or {}).items()
        if not name.startswith(_OF_THE_BROKER)
    }


def copy_properties(
    delivery: Delivery, verdict: Verdict, *, now: datetime | None = None
) -> pika.BasicProperties:
    """Return the properties of the copy that goes to a retry tier or to the dead queue.

    It keeps what the sender wrote, and says which try failed, why, with which stack, when, when
    for the first time, and what went before.

    Args:
        delivery: That failed.
        verdict: What is to become of it.
        now: When it failed, timezone-aware; None is this instant.
    """
    original = delivery.properties
    headers = own_headers(original.headers)
    at = (now or datetime.now(UTC)).isoformat()
    reason = verdict.reason[:REASON_CHARACTERS]
    history = [
        *history_of(headers),
        {"at": at, "attempt": delivery.attempt, "reason": reason},
    ][-HISTORY_MAX:]
    # An older try's stack would be taken for this one's.
    headers.pop(STACK_HEADER, None)
    headers |= {
        ATTEMPT_HEADER: delivery.attempt,
        REASON_HEADER: reason,
        FAILED_AT_HEADER: at,
        FIRST_FAILED_AT_HEADER: _text(headers.get(FIRST_FAILED_AT_HEADER)) or at,
        HISTORY_HEADER: json.dumps(history, ensure_ascii=False),
    }
    if verdict.stack:
        headers[STACK_HEADER] = verdict.stack
    return pika.BasicProperties(
        content_type=original.content_type,
        delivery_mode=PERSISTENT,
        message_id=original.message_id,
        correlation_id=original.correlation_id,
        type=original.type,
        headers=headers,
    )


def parked_delivery(parked: ParkedEvent) -> Delivery:
    """Return a parked event as the delivery that it was, with when it was parked."""
    properties, body = to_properties(parked.event)
    since = {PARKED_AT_HEADER: parked.parked_at.isoformat()}
    properties.headers = dict(parked.headers) | dict(properties.headers or {}) | since
    return Delivery(0, properties, body)


def parked_at_of(headers: Mapping[str, Any]) -> datetime | None:
    """Return when an event was parked first, if its headers say so."""
    try:
        at = datetime.fromisoformat(_text(headers.get(PARKED_AT_HEADER)) or "")
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def _writable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _writable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_writable(each) for each in value]
    return str(value) if isinstance(value, float) else value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
