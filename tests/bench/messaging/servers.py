"""One PostgreSQL and one RabbitMQ for the whole run, on ports and data of their own."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pika
import pika.exceptions
from tests.bench.ledger.server import Server as PostgresServer
from tests.bench.ledger.server import running_server as running_postgresql

from octoco.database.provision import provision_schema
from octoco_runner import rabbitmq
from octoco_runner.credentials import Credentials
from octoco_runner.errors import NotReady, RunnerError
from octoco_runner.layout import layout_for
from octoco_runner.packages import RABBITMQ, require_packages
from octoco_runner.ports import free_port
from octoco_runner.processes import end_processes_of, mark_of
from octoco_runner.screen import Screen
from octoco_runner.server_users import find_user, rabbitmq_user

PASSWORD: Final = "bench-only"
START_SECONDS: Final = 90.0
STOP_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema of a service, in a database of its own.

    Args:
        service_url: As the service's own role.
        owner_url: As the role that owns the schema.
    """

    service_url: str
    owner_url: str


@dataclass(frozen=True, slots=True)
class Servers:
    """What is running.

    Args:
        postgresql: With fsync and synchronous_commit on.
        amqp_url: Of a node that nobody else uses.
    """

    postgresql: PostgresServer
    amqp_url: str

    def schema(self, name: str) -> Schema:
        """Make an empty schema for a service of that name, or find it again."""
        database = f"bench_{name}"
        provision_schema(
            self.postgresql.admin_url,
            database=database,
            schema=name,
            owner_password=PASSWORD,
            service_password=PASSWORD,
        )
        return Schema(
            self.postgresql.url(database, user=name, password=PASSWORD),
            self.postgresql.url(database, user=f"{name}_owner", password=PASSWORD),
        )

    def settings(self) -> dict[str, Any]:
        """What decides what the figures mean."""
        connection = pika.BlockingConnection(pika.URLParameters(self.amqp_url))
        try:
            broker = connection._impl.server_properties["version"]
        finally:
            connection.close()
        return {**self.postgresql.settings(), "rabbitmq_version": str(broker)}


@contextmanager
def running_servers(state: Path, screen: Screen) -> Iterator[Servers]:
    """Make both servers below `state`, run them for the block, and remove them with their data.

    Raises:
        RunnerError: one of them is not installed or did not start.
    """
    require_packages([RABBITMQ], say=screen.say)
    state.mkdir(parents=True, exist_ok=True)
    with (
        running_postgresql(state / "postgresql") as postgresql,
        _running_rabbitmq(state / "rabbitmq") as amqp_url,
    ):
        yield Servers(postgresql, amqp_url)
    with suppress(OSError):
        state.rmdir()


@contextmanager
def _running_rabbitmq(state: Path) -> Iterator[str]:
    user = rabbitmq_user()
    layout = layout_for(state, user)
    # What an interrupted run has left is of no use to anybody.
    layout.remove()
    layout = layout_for(state, user)
    layout.make_folders()
    password = Credentials(layout.secrets).password("rabbitmq")
    port = free_port("rabbitmq")
    program = rabbitmq.prepare_rabbitmq(
        layout,
        port=port,
        epmd_port=free_port("rabbitmq-epmd"),
        distribution_port=free_port("rabbitmq-distribution"),
        password=password,
        user=user,
    )
    owner = find_user(program.user) if program.user else None
    log = layout.logs / "rabbitmq.log"
    with (
        log.open("ab") as output,
        subprocess.Popen(
            [*program.command],
            cwd=program.directory,
            env={"PATH": os.environ["PATH"], **program.environment, **mark_of(layout)},
            stdout=output,
            stderr=output,
            # A Ctrl-C is for us, who stop the server when the block ends.
            start_new_session=True,
            user=owner.uid if owner else None,
            group=owner.gid if owner else None,
            extra_groups=[] if owner else None,
        ) as process,
    ):
        try:
            url = rabbitmq.amqp_url(port, password)
            _wait_until_answering(url, process, log)
            yield url
        finally:
            # With the port mapper that the node has started, which leaves its group.
            end_processes_of(layout, grace_seconds=STOP_SECONDS)
            process.wait()
            layout.remove()


def _wait_until_answering(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            rabbitmq.require_answering(url)
            return
        except NotReady as error:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
            if process.returncode is not None or time.monotonic() > deadline:
                tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RunnerError(f"RabbitMQ did not start:\n{tail}") from error
