"""What each service declares is what its code does, and each event has its two ends."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, get_type_hints

import pytest

import notifications.entrypoints.consumer
import payments_gateway.entrypoints.consumer
import wallet.entrypoints.consumer
from octoco.clock import SystemClock
from octoco.messaging.contracts import NOT_SENT_YET, ORDERING_KEY, Contracts
from octoco.messaging.declaration import purpose_of
from octoco.money import Money

from .declared import EVENTS, INBOUND, OUTBOUND, SERVICES

ROOT = Path(__file__).parents[2]
CONTRACTS = Contracts()
DECLARED = dict(zip(SERVICES, EVENTS, strict=True))
RETIRED = {name for name in CONTRACTS.event_types if CONTRACTS.schema(name).get("deprecated")}


def modules_of(service: str) -> Iterator[ModuleType]:
    package = importlib.import_module(service)
    for found in pkgutil.walk_packages(package.__path__, f"{service}."):
        yield importlib.import_module(found.name)


def sources_of(service: str) -> list[Path]:
    (package,) = (ROOT / "services").glob(f"*/src/{service}")
    return [path for path in package.rglob("*.py") if "messages" not in path.parts]


def handlers() -> Mapping[str, set[str]]:
    """Say which event types each worker has a handler for."""
    some: Any = SimpleNamespace(clock=SystemClock())
    bounds: Any = SimpleNamespace(currencies=("ZAR",))
    limits: Any = SimpleNamespace(deposits=bounds, withdrawals=bounds)
    return {
        "accounts": set(),
        "wallet": set(wallet.entrypoints.consumer.handlers(clock=some.clock, limits=limits)),
        "payments_gateway": set(payments_gateway.entrypoints.consumer.subscriptions(some)),
        "notifications": set(notifications.entrypoints.consumer.subscriptions(some)),
    }


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_declares_every_message_that_its_code_could_send(service: str) -> None:
    could_send = {
        kind
        for module in modules_of(service)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__.startswith(f"{service}.")
        and isinstance(getattr(kind, "TYPE", None), str)
        and hasattr(kind, "to_data")
    }
    assert could_send == set(DECLARED[service].sends)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_makes_every_message_that_it_declares_unless_the_schema_says_why_not(
    service: str,
) -> None:
    called = {
        ast.unparse(node.func).rpartition(".")[2]
        for path in sources_of(service)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }
    for kind in DECLARED[service].sends:
        is_sent_yet = NOT_SENT_YET not in CONTRACTS.schema(kind.TYPE)
        assert (kind.__name__ in called) is is_sent_yet, kind.TYPE


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_listens_to_what_it_declares_and_reads_nothing_else(service: str) -> None:
    listens = set(DECLARED[service].listens)
    assert handlers()[service] == listens
    assert {event_type for reader, event_type in INBOUND if reader == service} == listens
    assert DECLARED[service].together <= listens


def test_what_is_handled_together_is_declared() -> None:
    batches = wallet.entrypoints.consumer.batch_handlers(clock=SystemClock())
    assert DECLARED["wallet"].together == set(batches)


def test_every_use_case_says_why_it_is_told_of_an_event() -> None:
    for declaration in EVENTS:
        for use_case in declaration.listens.values():
            assert purpose_of(use_case).endswith(".")


def test_a_use_case_that_says_nothing_is_no_reason_to_listen() -> None:
    def silent() -> None:
        pass

    with pytest.raises(ValueError, match="silent does not say what it does"):
        purpose_of(silent)


@pytest.mark.parametrize("service", ["wallet", "payments_gateway"])
def test_a_use_case_takes_the_message_that_it_is_told_by(service: str) -> None:
    for event_type, use_case in DECLARED[service].listens.items():
        message = list(inspect.signature(use_case).parameters)[1]
        assert get_type_hints(use_case)[message] is INBOUND[service, event_type]


def test_every_event_that_is_sent_is_heard() -> None:
    # What no queue takes is returned to the relay, stays in the outbox and rings: an event that
    # is meant for others needs a listener of theirs before it is sent.
    heard = {event_type for declaration in EVENTS for event_type in declaration.listens}
    assert {event_type for _, event_type in OUTBOUND} - heard == set()


def test_every_event_that_is_heard_is_sent_unless_its_version_is_retired() -> None:
    sent = {event_type for _, event_type in OUTBOUND}
    heard = {event_type for declaration in EVENTS for event_type in declaration.listens}
    assert heard - sent == RETIRED
    assert sent & RETIRED == set()


def test_every_schema_is_used_and_announced_by_its_owner_alone() -> None:
    used = {event_type for _, event_type in [*OUTBOUND, *INBOUND]}
    assert used == set(CONTRACTS.event_types)
    for service, event_type in OUTBOUND:
        assert event_type.split(".")[0] == SERVICES[service]


def filled(kind: type[Any], *, leave_out: bool) -> Any:
    """Make a message in which every field has a value of its own, or none where that may be."""
    values: dict[str, object] = {}
    for field in dataclasses.fields(kind):
        stated = str(field.type)
        if leave_out and "None" in stated:
            values[field.name] = None
        elif "Money" in stated:
            values[field.name] = Money.parse("1.00", "ZAR")
        elif "datetime" in stated:
            values[field.name] = datetime(2026, 1, 1, tzinfo=UTC)
        else:
            values[field.name] = f"the {field.name}"
    return kind(**values)


@pytest.mark.parametrize(("service", "event_type"), sorted(OUTBOUND), ids=str)
def test_messages_are_ordered_by_the_field_that_the_schema_names(
    service: str, event_type: str
) -> None:
    for leave_out in (False, True):
        message = filled(OUTBOUND[service, event_type], leave_out=leave_out)
        body = message.to_data()
        keys = [body[name] for name in CONTRACTS.schema(event_type)[ORDERING_KEY]]
        assert message.aggregate_id == next(key for key in keys if key is not None)
        assert set(body) == set(CONTRACTS.schema(event_type)["properties"])
