"""A whole system of its own for tests that need one: started by the runner, stopped at the end."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from octoco.testing.traces import Collector

from .person import Person
from .system import System

ROOT = Path(__file__).parents[1]
RUNNER = Path(sys.executable).with_name("octoco-runner")
START_SECONDS = 300


def _runner(command: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(RUNNER), command],
        env=dict(environment),
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=START_SECONDS,
        check=False,
    )


def _read_env(path: Path) -> dict[str, str]:
    values = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, sign, value = line.removeprefix("export ").partition("=")
        if sign and not name.startswith("#"):
            values[name] = "".join(shlex.split(value))
    return values


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """The system, on servers, ports and data that nothing else uses.

    E2E_STATE_DIR names the state folder of one that is running already, which is left running.
    """
    running = os.environ.get("E2E_STATE_DIR")
    if running:
        yield System(_read_env(Path(running) / "env"), Path(running))
        return
    with Collector() as collector:
        yield from _own_system(collector)


def _own_system(collector: Collector) -> Iterator[System]:
    state = ROOT / ".local" / "e2e"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"DATABASE_URL", "AMQP_URL", "OCTOCO_STATE_DIR"}
    } | {
        "OCTOCO_STATE_DIR": str(state),
        "OCTOCO_PORT_OFFSET": "1000",
        # All these people come from one address.
        "OCTOCO_GATEWAY_RATE": "5000r/s",
        "OCTOCO_GATEWAY_BURST": "5000",
        "OCTOCO_GATEWAY_AUTH_RATE": "5000r/s",
        "OCTOCO_GATEWAY_AUTH_BURST": "5000",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        # A second in place of five, for tests that wait for the spans.
        "OTEL_BSP_SCHEDULE_DELAY": "1000",
    }
    _runner("clean", environment)
    started = _runner("up", environment)
    if started.returncode != 0:
        pytest.fail(f"the system did not start:\n{started.stdout}\n{started.stderr}", pytrace=False)
    try:
        yield System(_read_env(state / "env"), state, collector)
    finally:
        stopped = _runner("clean", environment)
        assert stopped.returncode == 0, stopped.stdout + stopped.stderr


@pytest.fixture
def new_person(system: System) -> Callable[[], Person]:
    """Make people who are registered, verified and logged in."""

    def make() -> Person:
        person = Person(system.gateway, system.sandbox, system.mailbox)
        person.register()
        return person

    return make


@pytest.fixture
def person(new_person: Callable[[], Person]) -> Person:
    return new_person()
