"""One PostgreSQL and one RabbitMQ for the whole run, on ports and data of their own."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pika
import pika.exceptions
from tests.bench.ledger.server import Server as PostgresServer
from tests.bench.ledger.server import running_server as running_postgresql
from tests.proof.broker import OwnRabbitMQ

from octoco.database.provision import provision_schema
from octoco_runner.errors import RunnerError
from octoco_runner.layout import layout_for
from octoco_runner.packages import RABBITMQ, require_packages
from octoco_runner.processes import end_processes_of
from octoco_runner.screen import Screen
from octoco_runner.server_users import rabbitmq_user

PASSWORD: Final = "bench-only"
# When something was committed is asked of the rows themselves.
SETTINGS: Final = {"track_commit_timestamp": "on"}


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

    @contextmanager
    def channel(self) -> "Iterator[pika.adapters.blocking_connection.BlockingChannel]":
        """Open a connection and a channel for the block."""
        with closing(pika.BlockingConnection(pika.URLParameters(self.amqp_url))) as connection:
            yield connection.channel()

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
        running_postgresql(state / "postgresql", settings=SETTINGS) as postgresql,
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
    end_processes_of(layout)
    layout.remove()
    layout = layout_for(state, user)
    layout.make_folders()
    node = OwnRabbitMQ(layout)
    try:
        node.spawn()
        try:
            node.wait_until_ready()
        except AssertionError as error:
            raise RunnerError(str(error)) from error
        yield node.url
    finally:
        if node.is_running:
            node.stop()
        # The port mapper that the node has started.
        end_processes_of(layout)
        layout.remove()
