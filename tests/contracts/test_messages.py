"""Both sides of every message agree with its schema, and every message has somebody who listens."""

import importlib
import inspect
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octoco.messaging.contracts import CONTRACTS_DIR, Contracts

# Each service, and the first word of the messages it owns.
SERVICES = {
    "accounts": "accounts",
    "wallet": "wallet",
    "payments_gateway": "payments",
    "notifications": "notifications",
}
CONTRACTS = Contracts()


def message_classes(service: str, direction: str) -> dict[str, type[Any]]:
    try:
        module = importlib.import_module(f"{service}.messages.{direction}")
    except ModuleNotFoundError as error:
        if service not in (error.name or ""):
            raise
        return {}
    members: list[tuple[str, type[Any]]] = inspect.getmembers(module, inspect.isclass)
    return {
        kind.TYPE: kind
        for _, kind in members
        if kind.__module__ == module.__name__ and isinstance(getattr(kind, "TYPE", None), str)
    }


OUTBOUND = {
    (service, event_type): kind
    for service in SERVICES
    for event_type, kind in message_classes(service, "outbound").items()
}
INBOUND = {
    (service, event_type): kind
    for service in SERVICES
    for event_type, kind in message_classes(service, "inbound").items()
}


def bodies(event_type: str) -> st.SearchStrategy[dict[str, Any]]:
    """Every kind of body that the schema lets through."""
    schema = CONTRACTS.schema(event_type)
    return st.fixed_dictionaries(
        {name: _values(rule) for name, rule in schema["properties"].items()}
    )


def _values(rule: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "enum" in rule:
        return st.sampled_from(rule["enum"])
    if rule.get("format") == "date-time":
        instants = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001 - made UTC below
        return instants.map(lambda at: at.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z"))
    if rule.get("format") == "uri":
        found: st.SearchStrategy[Any] = st.just("https://gate.example/p/1/")
    elif rule.get("pattern") == "^[A-Z]{3}$":
        found = st.just("ZAR")
    elif rule.get("pattern", "").startswith("^[0-9]{1,"):
        most = 10**20 if "20}" in rule["pattern"] else 10**13
        found = st.integers(1, most).map(lambda cents: f"{cents // 100}.{cents % 100:02d}")
    elif "pattern" in rule:
        found = st.from_regex(rule["pattern"].replace("$", r"\Z"))
    else:
        found = st.text("abc@.", min_size=rule.get("minLength", 0), max_size=40)
    return st.none() | found if "null" in rule["type"] else found


@pytest.mark.parametrize("path", sorted(CONTRACTS_DIR.glob("*.json")), ids=lambda path: path.stem)
def test_a_schema_says_what_it_is_and_lets_newer_fields_through(path: Path) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert schema["title"] == path.stem
    assert schema["description"].endswith(".")
    assert set(schema["required"]) == set(schema["properties"])
    assert schema["additionalProperties"] is True


def test_every_schema_is_announced_by_its_owner_and_by_nobody_else() -> None:
    assert {event_type for _, event_type in OUTBOUND} == set(CONTRACTS.event_types)
    for service, event_type in OUTBOUND:
        assert event_type.split(".")[0] == SERVICES[service]


def test_every_message_has_somebody_who_listens() -> None:
    # What no queue takes is returned to the relay, stays in the outbox and rings.
    assert {event_type for _, event_type in INBOUND} == set(CONTRACTS.event_types)


@pytest.mark.parametrize(("service", "event_type"), sorted(INBOUND), ids=str)
def test_a_listener_reads_every_body_that_the_schema_lets_through(
    service: str, event_type: str
) -> None:
    @settings(max_examples=25)
    @given(bodies(event_type))
    def check(body: dict[str, Any]) -> None:
        CONTRACTS.check_outbound(event_type, body)
        newer = {**body, "newer_field": {"deep": 1}}
        CONTRACTS.check_inbound(event_type, newer)
        INBOUND[service, event_type].from_data(newer)

    check()
