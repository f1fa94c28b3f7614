"""What a message carries of its own failures: written by the consumer, read by the tools."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pika
import pika.frame
import structlog

from octoco.inbox.parked import ParkedEvent
from octoco.messaging.deliveries import (
    ATTEMPT_HEADER,
    REASON_HEADER,
    Delivery,
    Verdict,
    text_of,
)
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
# Headers go in one frame, for which brokers and pika agree on 131,072 bytes; what the broker adds
# on the way needs room as well. One that is larger ends its sender's connection.
HEADERS_BYTES_MAX: Final = 100_000
_ATTRIBUTE_PREFIX: Final = "cloudEvents_"
_ATTRIBUTE_CHARACTERS: Final = 255
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
    except (ValueError, RecursionError):
        entries = []
    if not isinstance(entries, list):
        return []
    return [entry for entry in entries if isinstance(entry, dict)]


def own_headers(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a message's headers without those that the broker has added on its way.

    Floating-point numbers, which pika reads and cannot write, become text, and so do names that
    are no text.
    """
    own = _writable(dict(headers or {}))
    return {name: value for name, value in own.items() if not name.startswith(_OF_THE_BROKER)}


def copy_properties(
    delivery: Delivery, verdict: Verdict, *, now: datetime | None = None
) -> pika.BasicProperties:
    """Return the properties of the copy that goes to a retry tier or to the dead queue.

    It keeps what the sender wrote, and says which try failed, why, with which stack, when, when
    for the first time, and what went before. What cannot be written again, or is too large to be
    sent, keeps the attributes of its event, which try failed, why and when: a copy that cannot be
    sent would hold its original for ever.

    Args:
        delivery: That failed.
        verdict: What is to become of it.
        now: When it failed, timezone-aware; None is this instant.
    """
    at = (now or datetime.now(UTC)).isoformat()
    try:
        properties = _with_all(delivery, verdict, at)
        header = pika.frame.Header(1, len(delivery.body), properties)
        if len(header.marshal()) <= HEADERS_BYTES_MAX:
            return properties
        why = "too large"
    except Exception as error:  # noqa: BLE001 - whatever others have written there
        why = type(error).__name__
    structlog.get_logger("octoco.consumer").warning(
        "headers_left_behind", message_id=delivery.key, reason=why
    )
    attributes = {
        name: value
        for name, value in (delivery.properties.headers or {}).items()
        if isinstance(name, str) and name.startswith(_ATTRIBUTE_PREFIX) and _is_small(value)
    }
    return _properties(delivery, attributes | _of_this_try(delivery, verdict, at))


def _with_all(delivery: Delivery, verdict: Verdict, at: str) -> pika.BasicProperties:
    headers = own_headers(delivery.properties.headers)
    this_try = _of_this_try(delivery, verdict, at)
    history = [
        *history_of(headers),
        {"at": at, "attempt": delivery.attempt, "reason": this_try[REASON_HEADER]},
    ][-HISTORY_MAX:]
    # An older try's stack would be taken for this one's.
    headers.pop(STACK_HEADER, None)
    headers |= this_try | {
        FIRST_FAILED_AT_HEADER: text_of(headers.get(FIRST_FAILED_AT_HEADER)) or at,
        HISTORY_HEADER: json.dumps(history, ensure_ascii=False),
    }
    if verdict.stack:
        headers[STACK_HEADER] = _encodable(verdict.stack)
    return _properties(delivery, headers)


def _of_this_try(delivery: Delivery, verdict: Verdict, at: str) -> dict[str, Any]:
    return {
        ATTEMPT_HEADER: delivery.attempt,
        REASON_HEADER: _encodable(verdict.reason[:REASON_CHARACTERS]),
        FAILED_AT_HEADER: at,
    }


def _properties(delivery: Delivery, headers: dict[str, Any]) -> pika.BasicProperties:
    original = delivery.properties
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
        at = datetime.fromisoformat(text_of(headers.get(PARKED_AT_HEADER)) or "")
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def _writable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_name(name): _writable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_writable(each) for each in value]
    return str(value) if isinstance(value, float) else value


def _name(name: str | bytes) -> str:
    # pika leaves as bytes what is no UTF-8.
    return name if isinstance(name, str) else name.decode(errors="backslashreplace")


def _is_small(value: object) -> bool:
    if isinstance(value, str):
        return len(value.encode(errors="replace")) <= _ATTRIBUTE_CHARACTERS
    return isinstance(value, int) and abs(value) < 2**63


def _encodable(text: str) -> str:
    # An error may quote half a character of what it could not read.
    return text.encode(errors="backslashreplace").decode()
