"""The four services' messages in one table, each asked as its own role."""

import json
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from octoco_runner.errors import RunnerError
from octoco_runner.message_status import (
    ServiceMessages,
    as_table,
    ask_service,
    exit_code,
    statuses,
)
from octoco_runner.services import SERVICES

KNOWN = {
    "AMQP_URL": "amqp://guest:secret@127.0.0.1:1/",
    **{
        f"{service.replace('-', '_').upper()}_DATABASE_URL": f"postgresql://{service}@127.0.0.1:1/x"
        for service in SERVICES
    },
}


def facts_of(service: str, *, missing: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "service": service,
        "outbox": {"count": 3, "oldest_age_seconds": 7.5, "held_back_aggregates": 1},
        "parked_events": {"count": 2, "oldest_age_seconds": 1.0},
        "due_intents": {"count": 4, "oldest_age_seconds": 1.0},
        "queue": {"name": f"{service}.events", "messages": 5, "consumers": 1},
        "retry_queues": [{"name": "r", "messages": number} for number in (0, 6, None)],
        "dead_queue": {"name": "d", "messages": 8, "oldest_age_seconds": 7200.0},
        "missing_queues": list(missing),
    }


def done(code: int, stdout: str = "", stderr: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.CompletedProcess([], code, stdout, stderr)


def test_each_service_is_told_its_own_role_and_nothing_else() -> None:
    told: dict[str, Mapping[str, str]] = {}

    def ask(service: str, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        told[service] = environment
        return done(0, json.dumps(facts_of(service)))

    found = statuses({**KNOWN, "ACCOUNTS_MIGRATION_DATABASE_URL": "owner"}, ask=ask)
    assert [one.service for one in found] == list(SERVICES)
    for service in SERVICES:
        assert told[service]["DATABASE_URL"] == f"postgresql://{service}@127.0.0.1:1/x"
        assert "owner" not in told[service].values()
    assert exit_code(found) == 0


def test_a_service_is_a_line_and_one_that_was_not_asked_has_dashes() -> None:
    found = [
        ServiceMessages("wallet", facts_of("wallet"), ""),
        ServiceMessages("accounts", None, "messages status: The database is not available."),
    ]
    header, wallet, accounts = as_table(found).splitlines()
    assert header.split("  ")[0] == "SERVICE"
    assert " ".join(wallet.split()) == "wallet 3 7 s 1 2 4 5 1 0/6/- 8 2 h 0 min"
    assert set(accounts.split()[1:]) == {"-"}
    assert exit_code(found) == 2


def test_a_missing_queue_ends_with_one() -> None:
    assert exit_code([ServiceMessages("w", facts_of("w", missing=("w.events",)), "")]) == 1


def test_what_cannot_be_read_is_trouble_and_no_fault() -> None:
    found = statuses(KNOWN, ask=lambda *_: done(0, "no JSON", "Traceback"))
    assert {one.trouble for one in found} == {"Traceback"}
    assert exit_code(found) == 2


def test_without_addresses_there_is_nothing_to_ask() -> None:
    with pytest.raises(RunnerError, match="make up"):
        statuses({"AMQP_URL": "amqp://"})


def test_every_service_has_the_command_and_says_in_a_line_that_its_servers_are_away() -> None:
    found = statuses(KNOWN, ask=ask_service)
    for one in found:
        assert one.facts is None
        assert len(one.trouble.splitlines()) == 1
        assert "RabbitMQ does not answer" in one.trouble
        assert "secret" not in one.trouble
