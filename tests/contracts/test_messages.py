"""Both sides of every message agree with its schema, and every message has somebody who listens."""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest

from octoco.messaging.contracts import CONTRACTS_DIR, Contracts

SERVICES = {
    "accounts": "accounts",
    "wallet": "wallet",
    "payments_gateway": "payments",
    "notifications": "notifications",
}
CONTRACTS = Contracts()


def modules_of(service: str) -> list[ModuleType]:
    package = importlib.import_module(f"{service}.messages")
    names = [info.name for info in pkgutil.iter_modules(package.__path__)]
    return [importlib.import_module(f"{service}.messages.{name}") for name in names]


def outbound_classes(service: str) -> list[type[Any]]:
    return [
        member
        for module in modules_of(service)
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__
        and hasattr(member, "to_data")
        and isinstance(getattr(member, "TYPE", None), str)
    ]


def subscriptions_of(service: str) -> Mapping[str, Any]:
    bootstrap = importlib.import_module(f"{service}.bootstrap")
    subscriptions: Mapping[str, Any] = bootstrap.SUBSCRIPTIONS
    return subscriptions


EMITTED = {(service, kind.TYPE): kind for service in SERVICES for kind in outbound_classes(service)}
LISTENED = {
    (service, event_type) for service in SERVICES for event_type in subscriptions_of(service)
}


@pytest.mark.parametrize("path", sorted(CONTRACTS_DIR.glob("*.json")), ids=lambda p: p.stem)
def test_a_schema_says_what_it_is(path: Any) -> None:
    schema = json.loads(path.read_text())
    assert schema["title"] == path.stem
    assert schema["description"].endswith(".")
    assert set(schema["required"]) == set(schema["properties"])
    assert schema["additionalProperties"] is True, "newer fields must be let through"


def test_every_schema_is_emitted_by_its_owner_and_by_nobody_else() -> None:
    owners = {event_type: SERVICES[service] for service, event_type in EMITTED}
    assert set(owners) == set(CONTRACTS.event_types)
    for event_type, owner in owners.items():
        assert event_type.split(".")[0] == owner, event_type


def test_every_message_has_somebody_who_listens() -> None:
    # What no queue takes is returned, stays in the outbox and rings.
    heard = {event_type for _, event_type in LISTENED}
    assert heard == set(CONTRACTS.event_types)


@pytest.mark.parametrize(("service", "event_type"), sorted(EMITTED), ids=str)
def test_a_message_class_has_the_schemas_fields(service: str, event_type: str) -> None:
    kind = EMITTED[service, event_type]
    schema = CONTRACTS.schema(event_type)
    source = inspect.getsource(kind)
    missing = [name for name in schema["required"] if name not in source]
    assert not missing, f"{kind.__name__} does not mention {missing}"
