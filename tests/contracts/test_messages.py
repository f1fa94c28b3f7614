"""Both sides of every message agree with its schema."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from octoco.messaging.contracts import CONTRACTS_DIR, Contracts

from .bodies import bodies
from .declared import INBOUND

CONTRACTS = Contracts()


@pytest.mark.parametrize("path", sorted(CONTRACTS_DIR.glob("*.json")), ids=lambda path: path.stem)
def test_a_schema_says_what_it_is_and_lets_newer_fields_through(path: Path) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert schema["title"] == path.stem
    assert schema["description"].endswith(".")
    assert schema["$id"] == f"urn:octoco:{path.stem}"
    assert schema["additionalProperties"] is True
    assert [name for name, rule in schema["properties"].items() if not rule["description"]] == []
    assert schema["examples"]
    for example in schema["examples"]:
        CONTRACTS.check_outbound(path.stem, example)


@pytest.mark.parametrize(("service", "event_type"), sorted(INBOUND), ids=str)
def test_a_listener_reads_every_body_that_the_schema_lets_through(
    service: str, event_type: str
) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(bodies(CONTRACTS.schema(event_type)))
    def check(body: dict[str, Any]) -> None:
        CONTRACTS.check_outbound(event_type, body)
        newer = {**body, "newer_field": {"deep": 1}}
        CONTRACTS.check_inbound(event_type, newer)
        INBOUND[service, event_type].from_data(newer)

    check()
