"""A service's AsyncAPI 3.0 document: what it sends and receives, made from what it runs on.

Sending is to the exchange by routing key, receiving from the service's own queue; the payloads are
the message schemas. Source: AsyncAPI Specification 3.0.0; AMQP 0-9-1 bindings 0.3.0.
"""

from collections.abc import Mapping
from typing import Any, Final

from octoco.events import OutboundMessage
from octoco.messaging.contracts import NOT_SENT_YET, ORDERING_KEY, Contracts, Schema
from octoco.messaging.declaration import EventDeclaration, purpose_of
from octoco.messaging.topology import EXCHANGE_TYPE, QueueDeclaration, Topology
from octoco.messaging.wire import PERSISTENT

Document = dict[str, Any]

BINDING_VERSION: Final = "0.3.0"
# Every tool has to read this format, and what messages use of JSON Schema means the same in it.
SCHEMA_FORMAT: Final = "application/schema+json;version=draft-07"
_OF_NEWER_DIALECTS: Final = ("$schema", "$id")
ENVELOPE: Final[Mapping[str, tuple[str, str]]] = {
    "specversion": ("string", "`1.0`."),
    "id": ("string", "Of this message; a repeat has the same. The inbox knows it by this."),
    "type": ("string", "The event type, which is the routing key too."),
    "source": ("string", "The service that sent it, after a slash."),
    "subject": ("string", "What it is about: the ordering key's value."),
    "time": ("integer", "When it became true, in milliseconds since 1970, UTC."),
    "correlationid": ("string", "Shared by all that one request set in motion."),
    "causationid": (
        "string",
        "What it follows from: a message, a webhook's delivery, or another request.",
    ),
    "traceparent": ("string", "W3C Trace Context, if the sender had a trace."),
}
_OPTIONAL: Final = {"causationid", "traceparent"}
HEADER_PREFIX: Final = "cloudEvents_"


def asyncapi_document(
    declaration: EventDeclaration, *, contracts: Contracts, topology: Topology | None = None
) -> Document:
    """Describe what a service sends and receives.

    Args:
        declaration: Of the service.
        contracts: Hold a schema for each of its event types.
        topology: Names its queues; the service's own if None.

    Raises:
        ContractViolation: an event type has no schema.
        ValueError: a use case does not say what it does.
    """
    topology = topology or Topology(declaration.service)
    service = declaration.service
    sent = {kind.TYPE: kind for kind in declaration.sends}
    received = sorted(declaration.listens)
    messages = {
        event_type: _message(event_type, contracts.schema(event_type))
        for event_type in sorted({*sent, *received})
    }
    channels = {event_type: _event_channel(event_type, topology) for event_type in sorted(sent)}
    operations = {
        f"{service}.send.{event_type}": _send(service, event_type, kind)
        for event_type, kind in sorted(sent.items())
    }
    if received:
        for queue in topology.queues:
            channels[queue.name] = _queue_channel(queue, received)
        channels[topology.queue]["x-octoco-bindings"] = [
            {"exchange": topology.exchange_name, "routingKey": event_type}
            for event_type in received
        ]
    for event_type in received:
        operations[f"{service}.receive.{event_type}"] = _receive(
            declaration, event_type, topology.queue
        )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": service,
            "version": "1",
            "description": f"The events that {service} sends and receives.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "messageTraits": {"cloudEvent": _cloud_event()},
        },
    }


def _event_channel(event_type: str, topology: Topology) -> Document:
    return {
        "address": event_type,
        "messages": _messages([event_type]),
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {
                    "name": topology.exchange_name,
                    "type": EXCHANGE_TYPE,
                    "durable": True,
                    "autoDelete": False,
                },
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _queue_channel(queue: QueueDeclaration, event_types: list[str]) -> Document:
    return {
        "address": queue.name,
        "messages": _messages(event_types),
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {
                    "name": queue.name,
                    "durable": True,
                    "exclusive": False,
                    "autoDelete": False,
                },
                "bindingVersion": BINDING_VERSION,
            }
        },
        "x-octoco-arguments": dict(queue.arguments),
    }


def _send(service: str, event_type: str, kind: type[OutboundMessage]) -> Document:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{event_type}"},
        "messages": [{"$ref": f"#/channels/{event_type}/messages/{event_type}"}],
        "tags": [{"name": service}],
        "bindings": {
            "amqp": {
                "deliveryMode": PERSISTENT,
                # What no queue takes comes back, stays in the outbox and rings.
                "mandatory": True,
                "bindingVersion": BINDING_VERSION,
            }
        },
        "x-octoco-message-class": f"{kind.__module__}.{kind.__qualname__}",
    }


def _receive(declaration: EventDeclaration, event_type: str, queue: str) -> Document:
    use_case = declaration.listens[event_type]
    return {
        "action": "receive",
        "summary": purpose_of(use_case),
        "channel": {"$ref": f"#/channels/{queue}"},
        "messages": [{"$ref": f"#/channels/{queue}/messages/{event_type}"}],
        "tags": [{"name": declaration.service}],
        "bindings": {"amqp": {"ack": True, "bindingVersion": BINDING_VERSION}},
        "x-octoco-use-case": f"{use_case.__module__}.{use_case.__qualname__}",
        "x-octoco-handled-together": event_type in declaration.together,
    }


def _messages(event_types: list[str]) -> Document:
    return {
        event_type: {"$ref": f"#/components/messages/{event_type}"} for event_type in event_types
    }


def _message(event_type: str, schema: Schema) -> Document:
    payload = {
        keyword: rule for keyword, rule in schema.items() if keyword not in _OF_NEWER_DIALECTS
    }
    examples = [{"payload": body} for body in schema.get("examples", ())]
    return {
        "name": event_type,
        "title": event_type,
        "summary": schema["description"],
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": payload},
        "bindings": {"amqp": {"messageType": event_type, "bindingVersion": BINDING_VERSION}},
        **({"examples": examples} if examples else {}),
        **({"deprecated": True} if schema.get("deprecated") else {}),
        **({NOT_SENT_YET: schema[NOT_SENT_YET]} if NOT_SENT_YET in schema else {}),
        ORDERING_KEY: schema.get(ORDERING_KEY, []),
    }


def _cloud_event() -> Document:
    return {
        "summary": "CloudEvents 1.0 in AMQP's binary mode: attributes are application headers.",
        "headers": {
            "type": "object",
            "required": [HEADER_PREFIX + name for name in ENVELOPE if name not in _OPTIONAL],
            "properties": {
                HEADER_PREFIX + name: {"type": kind, "description": meaning}
                for name, (kind, meaning) in ENVELOPE.items()
            },
        },
        "correlationId": {
            "description": "The AMQP property correlation-id says the same.",
            "location": f"$message.header#/{HEADER_PREFIX}correlationid",
        },
    }
