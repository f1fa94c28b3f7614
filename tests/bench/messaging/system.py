"""The whole system of the runner, on the servers of the run and on ports of its own."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from octoco_runner.environment_file import read_environment_file
from octoco_runner.errors import RunnerError
from octoco_runner.layout import REPOSITORY, known_layout
from octoco_runner.packages import NGINX, require_packages
from octoco_runner.ports import DEFAULTS, free_port, variable_of
from octoco_runner.screen import Screen
from octoco_runner.supervision import clean_environment

from .servers import Servers

RUNNER: Final = Path(sys.executable).with_name("octoco-runner")
START_SECONDS: Final = 240.0
# All people come from one address, a few pay for many, and nobody here is to be slowed down.
ALLOWED: Final = {
    "OCTOCO_GATEWAY_RATE": "5000r/s",
    "OCTOCO_GATEWAY_BURST": "5000",
    "OCTOCO_GATEWAY_AUTH_RATE": "5000r/s",
    "OCTOCO_GATEWAY_AUTH_BURST": "5000",
    "DEPOSIT_COUNT_PER_HOUR": "ZAR=none",
    "DEPOSIT_LIMIT_PER_DAY": "ZAR=none",
    "DEPOSIT_LIMIT_PER_MONTH": "ZAR=none",
}


@contextmanager
def running_system(servers: Servers, state: Path, screen: Screen) -> Iterator[Mapping[str, str]]:
    """Start gateway, services, sandbox and mailbox for the block, and remove their data.

    Args:
        servers: The PostgreSQL and the RabbitMQ that they use.
        state: Folder of its own.
        screen: Told what has to be installed first.

    Yields:
        The addresses, as the file `env` in the state folder has them.

    Raises:
        RunnerError: it did not start.
    """
    require_packages([NGINX], say=screen.say)
    environment = {
        **clean_environment(),
        **ALLOWED,
        **_free_ports(),
        "OCTOCO_STATE_DIR": str(state),
        "DATABASE_URL": servers.postgresql.admin_url,
        "AMQP_URL": servers.amqp_url,
    }
    if state.exists():
        # What an interrupted run has left is of no use to anybody.
        _run("clean", environment)
    try:
        _run("up", environment)
        yield read_environment_file(known_layout(state).environment_file)
    finally:
        _run("clean", environment)


def _free_ports() -> Mapping[str, str]:
    found: dict[str, int] = {}
    for name in DEFAULTS:
        while (number := free_port(name).number) in found.values():
            pass
        found[name] = number
    return {variable_of(name): str(number) for name, number in found.items()}


def _run(command: str, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        [str(RUNNER), command],
        env=dict(environment),
        cwd=REPOSITORY,
        text=True,
        capture_output=True,
        timeout=START_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RunnerError(f"octoco-runner {command} failed:\n{done.stdout}{done.stderr}")
