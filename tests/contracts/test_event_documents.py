"""The documents about events say what the services do, and nothing else."""

import importlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema_rs import Draft7Validator

from octoco.events import Event
from octoco.messaging.asyncapi import asyncapi_document
from octoco.messaging.contracts import Contracts
from octoco.messaging.topology import Topology
from octoco.messaging.wire import to_properties
from octoco_runner.errors import RunnerError
from octoco_runner.event_docs import merge, page, write_event_docs

from .declared import EVENTS, SERVICES
from .specification import SPECIFICATION

ROOT = Path(__file__).parents[2]
CONTRACTS = Contracts()
DOCUMENTS = {
    declaration.service: asyncapi_document(declaration, contracts=CONTRACTS)
    for declaration in EVENTS
}
MERGED = merge(DOCUMENTS)


def test_the_page_of_all_events_is_what_the_code_runs_on() -> None:
    written = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    assert written == page(MERGED), "run: make events"


@pytest.mark.parametrize("name", [*DOCUMENTS, "all"])
def test_a_document_keeps_to_the_specification(name: str) -> None:
    document = MERGED if name == "all" else DOCUMENTS[name]
    errors = Draft7Validator(SPECIFICATION).iter_errors(document)
    assert [f"{error.instance_path}: {error.message[:200]}" for error in errors] == []


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (("channels", "wallet.deposit.paid.v1"), {"adress": "x"}),
        (("operations", "x"), {"action": "publish", "channel": {"$ref": "#/channels/x"}}),
        (("channels", "x"), {"address": "x", "bindings": {"amqp": {"is": "queue"}}}),
        (("channels", "x"), {"address": "x", "bindings": {"kafka": {}}}),
        (("components", "messages"), {"x": {"payload": 1, "topic": "x"}}),
    ],
)
def test_the_specification_refuses_what_it_does_not_know(
    place: tuple[str, str], wrong: dict[str, Any]
) -> None:
    document = json.loads(json.dumps(MERGED))
    document[place[0]][place[1]] = wrong
    assert not Draft7Validator(SPECIFICATION).is_valid(document)


def references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for inner in value.values() for found in references(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in references(inner)]
    return []


def test_every_reference_leads_to_something_in_the_document() -> None:
    for document in [*DOCUMENTS.values(), MERGED]:
        found = references(document)
        assert found
        for reference in found:
            target: Any = document
            for step in reference.removeprefix("#/").split("/"):
                target = target[step]


def test_payloads_examples_and_headers_are_what_travels() -> None:
    message = MERGED["components"]["messages"]["wallet.deposit.requested.v1"]
    schema = message["payload"]["schema"]
    body = message["examples"][0]["payload"]
    assert Draft7Validator(schema).is_valid(body)
    assert schema["properties"] == CONTRACTS.schema("wallet.deposit.requested.v1")["properties"]
    event = Event(
        id="msg_1",
        type="wallet.deposit.requested.v1",
        source="wallet",
        aggregate_id="txn_1",
        occurred_at=datetime.now(UTC),
        data=body,
        correlation_id="c",
        causation_id="msg_0",
        traceparent="00-1-1-00",
    )
    properties, _ = to_properties(event)
    stated = MERGED["components"]["messageTraits"]["cloudEvent"]["headers"]
    headers = dict(properties.headers)
    assert set(headers) == set(stated["properties"])
    assert Draft7Validator(stated).is_valid(headers)


def test_queues_bindings_and_exchange_are_those_that_are_declared() -> None:
    for declaration in EVENTS:
        topology, document = Topology(declaration.service), DOCUMENTS[declaration.service]
        channels = document["channels"].values()
        queues = {
            channel["address"]: channel["x-octoco-arguments"]
            for channel in channels
            if channel["bindings"]["amqp"]["is"] == "queue"
        }
        if not declaration.listens:
            assert queues == {}
            continue
        assert queues == {queue.name: queue.arguments for queue in topology.queues}
        bound = document["channels"][topology.queue]["x-octoco-bindings"]
        assert {binding["routingKey"] for binding in bound} == set(declaration.listens)
        assert {binding["exchange"] for binding in bound} == {topology.exchange_name}


def test_services_that_describe_one_message_differently_are_refused() -> None:
    other = json.loads(json.dumps(DOCUMENTS["wallet"]))
    other["components"]["messages"]["accounts.user.registered.v1"]["summary"] = "Something else."
    with pytest.raises(RunnerError, match=r"wallet describes components/messages/accounts\.user"):
        merge({"accounts": DOCUMENTS["accounts"], "wallet": other})


def test_both_documents_are_written(tmp_path: Path) -> None:
    document_path, page_path = tmp_path / "new" / "asyncapi.json", tmp_path / "events.md"
    write_event_docs(document=MERGED, document_path=document_path, page_path=page_path)
    assert json.loads(document_path.read_text(encoding="utf-8")) == MERGED
    assert page_path.read_text(encoding="utf-8") == page(MERGED)


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_command_line_prints_its_document(service: str) -> None:
    main = importlib.import_module(f"{service}.entrypoints.cli").main
    said = CliRunner().invoke(main, ["asyncapi"], env={})
    assert said.exit_code == 0
    assert json.loads(said.output) == DOCUMENTS[service.replace("_", "-")]
