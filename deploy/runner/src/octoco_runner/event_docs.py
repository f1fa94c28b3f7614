"""The merged AsyncAPI document of the four services, and the page of all events made from it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from octoco_runner.errors import RunnerError

Document = dict[str, Any]

INTRODUCTION: Final = """\
# Events

What the services tell each other. `make events` writes this page from the message schemas
(`shared/contracts`), the classes that the services send and the use cases that they give events to,
and the same as an AsyncAPI 3.0 document, `build/events/asyncapi.json`.

An event goes to the topic exchange `{exchange}` by its type, persistent and mandatory: one that
no queue takes comes back, stays in its sender's outbox and rings. Each service hears what its own
queue is bound to. Everything arrives at least once, and is handled once. Events of one sender with
the same ordering key keep their order. Readers let fields pass that they do not know.
"""
ENVELOPE: Final = """
## The envelope

CloudEvents 1.0 in AMQP's binary mode: attributes are application headers, the body is the event.

"""
QUEUES: Final = """
## The queues

Quorum queues, durable. From a retry tier a message comes back to its own service only.

"""
SCHEMA: Final = "../shared/contracts"


def merge(documents: Mapping[str, Document]) -> Document:
    """Make one AsyncAPI document of several.

    Raises:
        RunnerError: two services describe one message, channel or operation differently.
    """
    parts = ("channels", "operations", "components/messages", "components/messageTraits")
    merged: dict[str, Document] = {part: {} for part in parts}
    for service, document in documents.items():
        for part, into in merged.items():
            for name, found in _part(document, part).items():
                if into.setdefault(name, found) != found:
                    raise RunnerError(f"{service} describes {part}/{name} unlike the others.")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Octoco Wallet",
            "version": "1",
            "description": "The events that the services tell each other over RabbitMQ.",
        },
        "defaultContentType": "application/json",
        "channels": dict(sorted(merged["channels"].items())),
        "operations": dict(sorted(merged["operations"].items())),
        "components": {
            "messages": dict(sorted(merged["components/messages"].items())),
            "messageTraits": merged["components/messageTraits"],
        },
    }


def page(document: Document) -> str:
    """Write the page of all events.

    Args:
        document: As made by `merge`.
    """
    messages: Mapping[str, Document] = document["components"]["messages"]
    senders, listeners = _senders(document), _listeners(document)
    lines = [*_glance(messages, senders, listeners)]
    for owner in sorted({event_type.split(".")[0] for event_type in messages}):
        lines += ["", f"## {owner}"]
        for event_type, message in messages.items():
            if event_type.split(".")[0] == owner:
                lines += _section(message, senders[event_type], listeners.get(event_type, {}))
    return (
        INTRODUCTION.format(exchange=_exchange(document))
        + "\n".join(lines)
        + "\n"
        + ENVELOPE
        + "\n".join(_envelope(document))
        + "\n"
        + QUEUES
        + "\n".join(_queues(document))
        + "\n"
    )


def write_event_docs(*, document: Document, document_path: Path, page_path: Path) -> None:
    """Write the document and the page, replacing what is there.

    Args:
        document: As made by `merge`.
        document_path: For the document, as JSON.
        page_path: For the page, as Markdown.
    """
    document_path.parent.mkdir(parents=True, exist_ok=True)
    document_path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    page_path.write_text(page(document), encoding="utf-8")


def _part(document: Document, part: str) -> Document:
    found = document
    for step in part.split("/"):
        found = found[step]
    return found


def _operations(document: Document, action: str) -> Iterator[tuple[str, str, Document]]:
    for operation in document["operations"].values():
        if operation["action"] == action:
            event_type = operation["messages"][0]["$ref"].rpartition("/")[2]
            yield event_type, operation["tags"][0]["name"], operation


def _senders(document: Document) -> dict[str, str]:
    sent = _operations(document, "send")
    found = {event_type: service for event_type, service, _ in sent}
    # Nobody sends a retired version any more; it may still wait in a queue.
    return dict.fromkeys(document["components"]["messages"], "nobody any more") | found


def _listeners(document: Document) -> dict[str, dict[str, Document]]:
    found: dict[str, dict[str, Document]] = {}
    for event_type, service, operation in _operations(document, "receive"):
        found.setdefault(event_type, {})[service] = operation
    return found


def _glance(
    messages: Iterable[str], senders: Mapping[str, str], listeners: Mapping[str, Iterable[str]]
) -> Iterator[str]:
    yield from ["", "| event | sent by | heard by |", "|---|---|---|"]
    for event_type in messages:
        anchor = event_type.replace(".", "")
        heard_by = ", ".join(sorted(listeners.get(event_type, ())))
        yield f"| [{event_type}](#{anchor}) | {senders[event_type]} | {heard_by} |"


def _section(message: Document, sender: str, listeners: Mapping[str, Document]) -> Iterator[str]:
    event_type = message["name"]
    yield from ["", f"### {event_type}", "", message["summary"], ""]
    not_yet = message.get("x-octoco-not-sent-yet")
    yield f"- **Sent by** {sender}" + (f", but not yet: {not_yet}" if not_yet else ".")
    for service, operation in sorted(listeners.items()):
        why = operation["summary"].rstrip(".")
        together = " Many at once." if operation["x-octoco-handled-together"] else ""
        yield f"- **Heard by** {service}: {why}.{together}"
    keys = [f"`{name}`" for name in message["x-octoco-ordering-key"]]
    yield f"- **Ordering key**: {' or, where that is null, '.join(keys)}."
    yield f"- **Schema**: [{event_type}.json]({SCHEMA}/{event_type}.json)"
    yield from ["", "| field | type | rules | meaning |", "|---|---|---|---|"]
    yield from _fields(message["payload"]["schema"])
    for example in message.get("examples", ()):
        body = json.dumps(example["payload"], indent=2, ensure_ascii=False)
        yield from ["", "```json", body, "```"]


def _fields(schema: Document, prefix: str = "") -> Iterator[str]:
    required = schema["required"]
    for name, rule in schema["properties"].items():
        types = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
        known = " or ".join(types) + ("" if name in required else ", optional")
        rules = ", ".join(_rules(rule)).replace("|", "\\|")
        yield f"| `{prefix}{name}` | {known} | {rules} | {rule['description']} |"
        inner = rule.get("items", rule)
        if "properties" in inner:
            yield from _fields(inner, f"{prefix}{name}{'[]' if 'items' in rule else ''}.")


def _rules(rule: Document) -> Iterator[str]:
    if "enum" in rule:
        values = " ".join(f"`{value}`" for value in rule["enum"])
        yield f"{values} or newer" if rule.get("x-octoco-open-enum") else values
    if "format" in rule:
        yield rule["format"]
    if "pattern" in rule:
        yield f"`{rule['pattern']}`"
    least, most = rule.get("minLength"), rule.get("maxLength")
    if most is not None:
        yield f"{least or 0} to {most} characters"
    if rule.get("x-octoco-secret"):
        yield "secret: masked wherever it is shown"


def _exchange(document: Document) -> str:
    names = {
        channel["bindings"]["amqp"]["exchange"]["name"]
        for channel in document["channels"].values()
        if channel["bindings"]["amqp"]["is"] == "routingKey"
    }
    return ", ".join(sorted(names))


def _envelope(document: Document) -> Iterator[str]:
    headers = document["components"]["messageTraits"]["cloudEvent"]["headers"]
    yield from ["| header | type | meaning |", "|---|---|---|"]
    for name, rule in headers["properties"].items():
        known = rule["type"] + ("" if name in headers["required"] else ", optional")
        yield f"| `{name}` | {known} | {rule['description']} |"


def _queues(document: Document) -> Iterator[str]:
    yield from ["| queue | messages stay | then they go to |", "|---|---|---|"]
    for channel in document["channels"].values():
        if channel["bindings"]["amqp"]["is"] == "queue":
            known = channel["x-octoco-arguments"]
            stay = known.get("x-message-ttl")
            until = "until handled" if stay is None else f"{stay / 1000:g} s"
            target = known.get("x-dead-letter-routing-key")
            if target is None:
                until = "until a person replays or discards them"
            yield f"| `{channel['address']}` | {until} | {f'`{target}`' if target else ''} |"
