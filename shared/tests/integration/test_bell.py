"""The bell wakes who listens, and puts itself away."""

import threading
from collections.abc import Iterator

import psycopg2
import pytest

from octoco.outbox import bell as module
from octoco.outbox.bell import Bell, BellListener
from octoco.testing import eventually
from octoco.testing.provisions import ProvisionedSchema


@pytest.fixture(autouse=True)
def soon_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.1)


@pytest.fixture
def rings(schema: ProvisionedSchema) -> Iterator[list[int]]:
    heard: list[int] = []
    stop = threading.Event()
    listener = BellListener(
        url=schema.service_url, service="probe", on_ring=lambda: heard.append(1)
    )
    thread = threading.Thread(target=listener.run, args=(stop,))
    thread.start()
    eventually(lambda: bool(heard), what="the ring that follows a connection")
    yield heard
    stop.set()
    thread.join(10)


def connections(schema: ProvisionedSchema) -> int:
    connection = psycopg2.connect(schema.admin_url)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'probe-bell' AND datname = current_database()"
        )
        found = [row[0] for row in cursor]
    connection.close()
    return int(found[0])


def test_a_ring_is_heard_and_many_at_once_cost_little(
    rings: list[int], schema: ProvisionedSchema
) -> None:
    bell = Bell(url=schema.service_url, service="probe")
    before = len(rings)
    for _ in range(1000):
        bell.ring()
    eventually(lambda: len(rings) > before, within_seconds=5, what="a ring")
    assert len(rings) - before < 1000


def test_a_bell_that_is_silent_gives_its_connection_back_and_rings_again(
    rings: list[int], schema: ProvisionedSchema
) -> None:
    bell = Bell(url=schema.service_url, service="probe")
    for _ in range(3):
        rings.clear()
        bell.ring()
        eventually(lambda: bool(rings), what="a ring")
        eventually(lambda: connections(schema) == 0, what="no connection of a silent bell")


def test_a_ring_without_a_database_harms_nobody() -> None:
    bell = Bell(url="postgresql://nobody@127.0.0.1:1/none", service="probe")
    bell.ring()
    bell.ring()
