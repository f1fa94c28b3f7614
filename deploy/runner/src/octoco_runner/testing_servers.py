"""Servers for a test run: named by the caller, in containers where an engine answers, or ours."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from octoco_runner.commands import run
from octoco_runner.errors import PackagesMissing, RunnerError
from octoco_runner.layout import REPOSITORY, layout_for, state_directory
from octoco_runner.locking import exclusive
from octoco_runner.packages import CHROMEDRIVER, CHROMIUM, NGINX, require_packages
from octoco_runner.ports import free_port
from octoco_runner.postgresql import CONNECTIONS_MAX
from octoco_runner.processes import end_processes_of
from octoco_runner.screen import Screen
from octoco_runner.server_users import postgresql_user, rabbitmq_user
from octoco_runner.servers import embedded_or_named, require_server_packages, running_servers

POSTGRESQL_IMAGE = "postgres:18"
RABBITMQ_IMAGE = "rabbitmq:4-management"
PULL_SECONDS_MAX = 90
KINDS = ("auto", "containers", "embedded")


@dataclass(frozen=True)
class TestServers:
    """Where a test run finds its PostgreSQL (as superuser) and its RabbitMQ."""

    database_url: str
    amqp_url: str

    def environment(self) -> dict[str, str]:
        return {"TEST_DATABASE_URL": self.database_url, "TEST_AMQP_URL": self.amqp_url}


def run_tests(arguments: Sequence[str], *, kind: str, screen: Screen) -> int:
    """Run pytest on servers made for it, and stop them afterwards.

    Args:
        arguments: Passed to pytest as they are.
        kind: "auto" takes containers where an engine answers, else embedded servers.
        screen: Told which servers are used.

    Returns:
        pytest's exit status.
    """
    require_packages([NGINX], say=screen.say)
    try:
        require_packages([CHROMIUM, CHROMEDRIVER], say=screen.say)
    except PackagesMissing as missing:
        screen.warn(f"Tests of pages in a browser will fail. {missing}")
    with testing_servers(kind=kind, screen=screen) as servers:
        # Tests that start the system themselves must not be steered by what steers this run.
        command = [sys.executable, "-m", "pytest", *arguments]
        environment = {**os.environ, **servers.environment()}
        with subprocess.Popen(command, cwd=REPOSITORY, env=environment) as tests:  # noqa: S603
            while True:
                try:
                    return tests.wait()
                except KeyboardInterrupt:
                    # pytest got the same Ctrl-C and reports what it has; its servers stay.
                    tests.send_signal(signal.SIGINT)


@contextmanager
def testing_servers(*, kind: str, screen: Screen) -> Iterator[TestServers]:
    """Provide PostgreSQL and RabbitMQ for the block.

    Servers named by TEST_DATABASE_URL and TEST_AMQP_URL come first and are left alone.

    Raises:
        RunnerError: only one of the two is named, or the servers could not be provided.
    """
    database_url = os.environ.get("TEST_DATABASE_URL") or None
    amqp_url = os.environ.get("TEST_AMQP_URL") or None
    if database_url and amqp_url:
        screen.say("Tests use the servers named by TEST_DATABASE_URL and TEST_AMQP_URL.")
        yield TestServers(database_url=database_url, amqp_url=amqp_url)
        return
    if database_url or amqp_url:
        raise RunnerError("Name both TEST_DATABASE_URL and TEST_AMQP_URL, or neither.")
    why_not = "embedded servers were asked for" if kind == "embedded" else _no_containers()
    with ExitStack() as stack:
        if why_not is None:
            try:
                servers = stack.enter_context(_containers())
            except Exception as error:  # noqa: BLE001 - whatever an engine lacks, there is another way
                why_not = f"containers could not be started: {type(error).__name__}"
            else:
                screen.say(f"Tests use containers: {POSTGRESQL_IMAGE} and {RABBITMQ_IMAGE}.")
                yield servers
                return
    if kind == "containers":
        raise RunnerError(f"No containers: {why_not}.")
    screen.say(f"Tests use embedded PostgreSQL and RabbitMQ ({why_not}).")
    with _embedded(screen) as servers:
        yield servers


@contextmanager
def _embedded(screen: Screen) -> Iterator[TestServers]:
    require_server_packages(screen, with_rabbitmq=True)
    state = state_directory() / "test"
    with exclusive(
        state.with_name("test.lock"),
        on_wait=lambda pid: screen.say(f"Another test run (process {pid}) goes first; waiting."),
    ):
        layout = layout_for(state, postgresql_user(), rabbitmq_user())
        layout.make_folders()
        if ended := end_processes_of(layout):
            screen.warn(f"Ended {ended} processes an earlier test run had left behind.")
        names = ("postgresql", "rabbitmq", "rabbitmq-epmd", "rabbitmq-distribution")
        servers = embedded_or_named(
            layout,
            ports={name: free_port(name) for name in names},
            database_url=None,
            amqp_url=None,
        )
        with running_servers(layout, servers, screen):
            yield TestServers(database_url=servers.database_url, amqp_url=servers.amqp_url)


def _no_containers() -> str | None:
    """Why containers cannot be used here; None when they can."""
    import docker  # noqa: PLC0415 - takes a third of a second, and most runs do not need it
    import docker.errors  # noqa: PLC0415

    try:
        client = docker.from_env(timeout=5)
        client.ping()
    except (docker.errors.DockerException, OSError):
        return "no Docker engine answers"
    for image in (POSTGRESQL_IMAGE, RABBITMQ_IMAGE):
        try:
            client.images.get(image)
        except docker.errors.ImageNotFound:
            if not _pulled(image):
                return f"the image {image} is not here and could not be pulled"
    return None


def _pulled(image: str) -> bool:
    try:
        pulled = run(["docker", "pull", "--quiet", image], timeout_seconds=PULL_SECONDS_MAX)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return pulled.returncode == 0


@contextmanager
def _containers() -> Iterator[TestServers]:
    from testcontainers.core.config import testcontainers_config  # noqa: PLC0415 - see _no_containers
    from testcontainers.postgres import PostgresContainer  # noqa: PLC0415
    from testcontainers.rabbitmq import RabbitMqContainer  # noqa: PLC0415

    # The helper that tidies up after a killed run is a third image. We stop our containers
    # ourselves, so where it cannot be had we go without.
    if not _pulled(testcontainers_config.ryuk_image):
        testcontainers_config.ryuk_disabled = True
    with (
        PostgresContainer(POSTGRESQL_IMAGE, driver=None).with_command(
            f"postgres -c max_connections={CONNECTIONS_MAX}"
        ) as postgresql,
        RabbitMqContainer(RABBITMQ_IMAGE) as rabbitmq,
    ):
        parameters = rabbitmq.get_connection_params()
        credentials = parameters.credentials
        yield TestServers(
            database_url=postgresql.get_connection_url(),
            amqp_url=(
                f"amqp://{credentials.username}:{credentials.password}"
                f"@{parameters.host}:{parameters.port}/"
            ),
        )
