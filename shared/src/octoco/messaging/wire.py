"""Events on the wire: CloudEvents 1.0 in AMQP binary mode.

Source: CloudEvents AMQP Protocol Binding 1.0.2, section 3.1 (binary content mode).
"""

import json
from datetime import UTC, datetime
from typing import Final

import pika
from cloudevents.core.bindings.amqp import AMQPMessage, from_amqp_event

from octoco.context import read_traceparent
from octoco.events import Event

PERSISTENT: Final = 2
# An AMQP short string, as message and correlation ids are, holds no more. All ids together then
# fit the smallest frame that a broker may agree to; what does not fit one breaks the connection.
ID_BYTES_MAX: Final = 255
# RabbitMQ 4 closes the channel on whoever publishes more (max_message_size).
BODY_BYTES_MAX: Final = 16 * 1024 * 1024


class MalformedMessage(ValueError):
    """What is no CloudEvent of ours; it can never be handled, nor sent."""


def to_properties(event: Event) -> tuple[pika.BasicProperties, bytes]:
    """Write an event as AMQP properties and body, persistent, with the event's id as message id.

    The headers are those that the CloudEvents library writes, at a third of its cost.

    Raises:
        MalformedMessage: an id is too long, or the body: a broker would break the connection over
            them, with all that is on its way.
    """
    _require_short_ids(event)
    headers = {
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": event.id,
        "cloudEvents_type": event.type,
        "cloudEvents_source": f"/{event.source}",
        "cloudEvents_subject": event.aggregate_id,
        "cloudEvents_time": int(event.occurred_at.timestamp() * 1000),
        "cloudEvents_correlationid": event.correlation_id,
    }
    if event.causation_id is not None:
        headers["cloudEvents_causationid"] = event.causation_id
    if event.traceparent is not None:
        headers["cloudEvents_traceparent"] = event.traceparent
    properties = pika.BasicProperties(
        content_type="application/json",
        delivery_mode=PERSISTENT,
        message_id=event.id,
        correlation_id=event.correlation_id,
        type=event.type,
        headers=headers,
    )
    body = json.dumps(event.data, separators=(",", ":")).encode()
    if len(body) > BODY_BYTES_MAX:
        raise MalformedMessage(f"the body is longer than {BODY_BYTES_MAX} bytes")
    return properties, body


def from_properties(properties: pika.BasicProperties, body: bytes) -> Event:
    """Read a delivery back into the event it was written from.

    Raises:
        MalformedMessage: an attribute is missing or too long to be passed on with what follows
            from the event, or the body is no JSON object.
    """
    try:
        cloud_event = from_amqp_event(
            AMQPMessage(
                {"content-type": properties.content_type or "application/json"},
                dict(properties.headers or {}),
                body,
            )
        )
        attributes = cloud_event.get_attributes()
        data = cloud_event.get_data()
        if not isinstance(data, dict):
            raise MalformedMessage("the body is no JSON object")
        event = Event(
            id=attributes["id"],
            type=attributes["type"],
            source=attributes["source"].lstrip("/"),
            aggregate_id=attributes["subject"],
            occurred_at=_instant(attributes["time"]),
            data=data,
            correlation_id=attributes["correlationid"],
            causation_id=attributes.get("causationid"),
            traceparent=read_traceparent(attributes.get("traceparent")),
        )
        _require_short_ids(event)
    except MalformedMessage:
        raise
    except Exception as error:
        # The binding raises whatever its parsers raise; from here all of it means the same.
        raise MalformedMessage(f"no CloudEvent of ours ({type(error).__name__})") from error
    return event


def _require_short_ids(event: Event) -> None:
    for name, value in (
        ("id", event.id),
        ("type", event.type),
        ("source", event.source),
        ("aggregate_id", event.aggregate_id),
        ("correlation_id", event.correlation_id),
        ("causation_id", event.causation_id or ""),
        ("traceparent", event.traceparent or ""),
    ):
        if len(value.encode()) > ID_BYTES_MAX:
            raise MalformedMessage(f"{name} is longer than {ID_BYTES_MAX} bytes")


def _instant(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise MalformedMessage("the time is no instant")
    return value.astimezone(UTC)
