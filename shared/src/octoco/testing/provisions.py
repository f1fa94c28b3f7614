"""Pytest fixtures that give tests real servers; name this module in `pytest_plugins`.

The servers are named by TEST_DATABASE_URL (a superuser's) and TEST_AMQP_URL, which `make test`
sets. Every session gets a database of its own, and every topology a prefix of its own.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pika
import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT, make_dsn, parse_dsn

from octoco.database.migrate import migrate
from octoco.database.provision import provision_schema
from octoco.messaging.topology import Topology

# The suites' assertions show what they compared, as those of test modules do.
pytest.register_assert_rewrite("octoco.testing.conformance")


@dataclass(frozen=True, slots=True)
class ProvisionedSchema:
    """A migrated schema: URLs of its service role, its owner, and the server's superuser."""

    service_url: str
    owner_url: str
    admin_url: str


def _named(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        pytest.fail(f"{variable} is not set: run these tests with `make test`", pytrace=False)
    return value


@pytest.fixture(scope="session")
def postgres_admin_url() -> str:
    """URL of the test server's superuser."""
    return _named("TEST_DATABASE_URL")


@pytest.fixture(scope="session")
def amqp_url() -> str:
    """URL of the test broker."""
    return _named("TEST_AMQP_URL")


@pytest.fixture(scope="session")
def provisioned_schema(postgres_admin_url: str) -> Iterator[Callable[..., ProvisionedSchema]]:
    """Make migrated schemas, all in one fresh database, dropped at the end."""
    database = f"test_{secrets.token_hex(6)}"
    admin = parse_dsn(postgres_admin_url)

    def make(schema: str, migrations: Path | None) -> ProvisionedSchema:
        # Roles belong to the server, which other sessions use at the same time: one password.
        password = "test-only"
        provision_schema(
            postgres_admin_url,
            database=database,
            schema=schema,
            owner_password=password,
            service_password=password,
        )

        def url(user: str) -> str:
            return (
                f"postgresql://{user}:{password}@{admin.get('host', '127.0.0.1')}"
                f":{admin.get('port', '5432')}/{database}"
            )

        owner_url = url(f"{schema}_owner")
        if migrations is not None:
            migrate(url=owner_url, migrations=migrations)
        return ProvisionedSchema(
            url(schema), owner_url, str(make_dsn(**{**admin, "dbname": database}))
        )

    yield make
    connection = psycopg2.connect(postgres_admin_url)
    connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
        )
    connection.close()


@pytest.fixture
def topology_of(amqp_url: str) -> Iterator[Callable[..., Topology]]:
    """Make topologies under a random prefix; their queues are deleted at the end."""
    prefix = f"test-{secrets.token_hex(6)}."
    made: list[Topology] = []

    def make(service: str, tier_seconds: tuple[float, ...] = (0.2, 0.4)) -> Topology:
        topology = Topology(service, prefix=prefix, tier_seconds=tier_seconds)
        made.append(topology)
        return topology

    yield make
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    for topology in made:
        for name in (topology.queue, topology.dead_queue, *topology.retry_queues):
            channel.queue_delete(name)
        channel.exchange_delete(topology.exchange_name)
    connection.close()
