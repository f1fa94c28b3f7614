"""The messages of all four services at a glance, each service asked as its own role."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from subprocess import CompletedProcess, TimeoutExpired
from typing import Any, Final

from octoco.commands.printing import age, table
from octoco_runner.commands import run
from octoco_runner.errors import RunnerError
from octoco_runner.services import SERVICES, schema_of, script
from octoco_runner.supervision import clean_environment

ASKING_SECONDS: Final = 60
HEADERS: Final = (
    "SERVICE",
    "OUTBOX",
    "OLDEST",
    "HELD BACK",
    "PARKED",
    "INTENTS DUE",
    "QUEUE",
    "CONSUMERS",
    "RETRIES",
    "DEAD",
    "OLDEST DEAD",
)
# A service's command that says how things stand, by service and environment.
Ask = Callable[[str, Mapping[str, str]], "CompletedProcess[str]"]


@dataclass(frozen=True)
class ServiceMessages:
    """What one service's `messages status` said.

    `facts` is its JSON, None when it could not be asked; `trouble` is what it complained of.
    """

    service: str
    facts: Mapping[str, Any] | None
    trouble: str


def ask_service(service: str, environment: Mapping[str, str]) -> "CompletedProcess[str]":
    """Run a service's command with nothing but what it needs."""
    return run(
        [str(script(service)), "messages", "status", "--json"],
        environment=environment,
        timeout_seconds=ASKING_SECONDS,
    )


def statuses(known: Mapping[str, str], *, ask: Ask = ask_service) -> Sequence[ServiceMessages]:
    """Ask all services at once, each with its own role's address of the database.

    Args:
        known: The running system's addresses.
        ask: Runs the command.

    Raises:
        RunnerError: an address is missing.
    """
    environments = [_environment(known, service) for service in SERVICES]
    with ThreadPoolExecutor(max_workers=len(SERVICES)) as threads:
        return list(threads.map(partial(_status, ask), SERVICES, environments))


def as_table(found: Sequence[ServiceMessages]) -> str:
    """Return a line for each service; one that could not be asked has dashes."""
    rows = [_row(one) for one in found]
    return table(HEADERS, rows, right=set(HEADERS[1:]))


def exit_code(found: Sequence[ServiceMessages]) -> int:
    """2 when a service could not be asked, 1 when one misses a queue, else 0."""
    if any(one.facts is None for one in found):
        return 2
    return 1 if any(one.facts and one.facts["missing_queues"] for one in found) else 0


def _environment(known: Mapping[str, str], service: str) -> dict[str, str]:
    name = f"{schema_of(service).upper()}_DATABASE_URL"
    try:
        addresses = {"DATABASE_URL": known[name], "AMQP_URL": known["AMQP_URL"]}
    except KeyError as error:
        raise RunnerError(
            f"{error.args[0]} is not known: nothing runs here. Start it with: make up"
        ) from None
    return {**clean_environment(), "PATH": os.environ.get("PATH", os.defpath), **addresses}


def _status(ask: Ask, service: str, environment: Mapping[str, str]) -> ServiceMessages:
    try:
        done = ask(service, environment)
        facts = json.loads(done.stdout) if done.returncode in (0, 1) else None
        return ServiceMessages(service, facts, done.stderr.strip())
    except TimeoutExpired:
        return ServiceMessages(service, None, f"no answer within {ASKING_SECONDS} s")
    except ValueError:
        return ServiceMessages(service, None, done.stderr.strip() or "no answer that can be read")


def _row(one: ServiceMessages) -> tuple[object, ...]:
    facts = one.facts
    if facts is None:
        return (one.service, *[None] * (len(HEADERS) - 1))
    outbox, dead = facts["outbox"], facts["dead_queue"]
    return (
        one.service,
        outbox["count"],
        age(outbox["oldest_age_seconds"]),
        outbox["held_back_aggregates"],
        facts["parked_events"]["count"],
        facts["due_intents"]["count"],
        facts["queue"]["messages"],
        facts["queue"]["consumers"],
        "/".join(_number(tier["messages"]) for tier in facts["retry_queues"]),
        dead["messages"],
        age(dead["oldest_age_seconds"]),
    )


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)
