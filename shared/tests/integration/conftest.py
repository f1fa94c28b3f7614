"""A small service of its own: the shared tables and one table for effects."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import psycopg2
import pytest
import sqlalchemy

from octoco.clock import SystemClock
from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.database.tables import messaging_tables_v1
from octoco.messaging.contracts import Contracts
from octoco.testing.provisions import ProvisionedSchema

EVENT_TYPE = "probe.thing.happened.v1"
SCHEMA = json.dumps(
    {
        "type": "object",
        "required": ["n"],
        "properties": {"n": {"type": "integer"}, "thing": {"type": "string"}},
    }
)


@dataclass(frozen=True)
class Happened:
    """The probe's only message."""

    TYPE: ClassVar[str] = EVENT_TYPE

    thing: str
    n: int

    @property
    def aggregate_id(self) -> str:
        return self.thing

    def to_data(self) -> dict[str, object]:
        return {"n": self.n, "thing": self.thing}


@pytest.fixture(scope="session")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> Contracts:
    folder: Path = tmp_path_factory.mktemp("contracts")
    for event_type in (EVENT_TYPE, "probe.thing.unheard.v1"):
        (folder / f"{event_type}.json").write_text(SCHEMA)
    return Contracts(folder)


@pytest.fixture(scope="session")
def schema(provisioned_schema: Callable[..., ProvisionedSchema]) -> ProvisionedSchema:
    made = provisioned_schema("probe", None)
    with psycopg2.connect(made.owner_url) as connection, connection.cursor() as cursor:
        cursor.execute(messaging_tables_v1("probe"))
        cursor.execute("CREATE TABLE effects (event_id text, n integer)")
        cursor.execute("CREATE TABLE counters (name text PRIMARY KEY, value integer NOT NULL)")
        cursor.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON effects, counters TO probe")
    connection.close()
    return made


@pytest.fixture
def database(schema: ProvisionedSchema) -> Iterator[Database]:
    made = Database(schema.service_url, application_name="probe", pool_size=20)
    tables = [
        "outbox",
        "inbox",
        "parked_events",
        "suspect_deliveries",
        "intents",
        "idempotency_keys",
        "effects",
        "counters",
    ]

    def clear(connection: sqlalchemy.Connection) -> None:
        for table in tables:
            connection.exec_driver_sql(f"DELETE FROM {table}")

    made.run(clear)
    yield made
    made.dispose()


@pytest.fixture
def units(database: Database, contracts: Contracts) -> PostgresUnitsOfWork[PostgresUnit]:
    return PostgresUnitsOfWork(
        database,
        lambda connection: PostgresUnit(connection, contracts=contracts, clock=SystemClock()),
    )
