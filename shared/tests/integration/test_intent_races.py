"""Executors against one another, dying, sleeping and hanging: real processes and threads."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from octoco.clock import Clock, FixedClock
from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.intents import Done, Intent
from octoco.intents.executor import Executor
from octoco.intents.leases import LeasedIntent, PostgresIntentLeases
from octoco.intents.overview import IntentOverview
from octoco.intents.renewal import LeaseRenewal, Moment
from octoco.messaging.contracts import Contracts
from octoco.telemetry.metrics import INTENT_OLDEST_DUE_AGE, INTENTS_DUE
from octoco.testing import eventually
from octoco.testing.provisions import ProvisionedSchema

from .executor_process import OrderOnce

Units = PostgresUnitsOfWork[PostgresUnit]
# Long enough that a busy machine is not taken for a dead one.
LEASE = 1.5


def rows(database: Database, sql: str) -> list[Any]:
    return list(database.statement(sql, {}))


def effects(database: Database) -> list[str]:
    return [row.event_id for row in rows(database, "SELECT event_id FROM effects ORDER BY 1")]


def add(units: Units, kind: str, *subjects: str) -> None:
    for subject in subjects:
        units.run(lambda unit, s=subject: unit.intents.add(kind=kind, subject_id=s))  # type: ignore[misc]


@dataclass
class Blocking:
    """A handler whose calls wait until they are let go; each writes down what it found."""

    schedule_seconds: Sequence[float] = (30.0,)
    let_go: threading.Event = field(default_factory=threading.Event)
    begun: list[str] = field(default_factory=list)
    in_doubt: list[str] = field(default_factory=list)

    def prepare(self, unit: PostgresUnit, intent: Intent) -> str | None:
        if intent.was_begun:
            self.in_doubt.append(intent.subject_id)
        return intent.subject_id

    def call(self, prepared: str) -> str:
        self.begun.append(prepared)
        assert self.let_go.wait(60)
        return prepared

    def record(self, unit: PostgresUnit, intent: Intent, *, prepared: str, answer: str) -> Done:
        unit.connection.exec_driver_sql("INSERT INTO effects VALUES (%s, 1)", (answer,))
        return Done()


@dataclass
class Running:
    """Executors at work on one database, each in its threads."""

    database: Database
    units: Units
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, handlers: Mapping[str, Blocking], **settings: Any) -> None:
        executor: Executor[PostgresUnit] = Executor(
            leases=PostgresIntentLeases(self.database),
            units=self.units,
            handlers=handlers,
            **{"lease_seconds": LEASE, **settings},
        )
        self.threads.append(threading.Thread(target=executor.run, args=(self.stop,)))
        self.threads[-1].start()

    def end(self, *handlers: Blocking) -> None:
        self.stop.set()
        for handler in handlers:
            handler.let_go.set()
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def running(database: Database, units: Units) -> Iterator[Running]:
    made = Running(database, units)
    yield made
    made.stop.set()


@contextmanager
def process(
    schema: ProvisionedSchema, outside: Path, *, at: str, sent: str
) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("executor_process.py"))],
        stdin=subprocess.PIPE,
        text=True,
    )
    assert started.stdin is not None
    folder = outside.parent / "contracts"
    folder.mkdir(exist_ok=True)
    (folder / "probe.x.v1.json").write_text('{"type": "object"}')
    json.dump(
        {
            "url": schema.service_url,
            "outside": str(outside),
            "contracts": str(folder),
            "at": at,
            "signal": sent,
        },
        started.stdin,
    )
    started.stdin.close()
    try:
        yield started
    finally:
        started.kill()
        started.wait(20)


@pytest.mark.parametrize(
    ("at", "orders", "told"),
    [
        ("leased", 1, ["order 1"]),
        ("preparing", 1, ["order 1"]),
        ("prepared", 0, ["ask 0"]),
        ("called", 1, ["ask 1"]),
        ("recording", 1, ["ask 1"]),
        ("recorded", 1, ["order 1"]),
    ],
)
def test_whoever_follows_a_killed_process_knows_whether_it_may_have_called(
    at: str,
    orders: int,
    told: list[str],
    database: Database,
    units: Units,
    schema: ProvisionedSchema,
    tmp_path: Path,
) -> None:
    outside = tmp_path / "outside"
    add(units, "order", "one")
    with process(schema, outside, at=at, sent="SIGKILL") as killed:
        assert killed.wait(60) == -signal.SIGKILL
    follower: Executor[PostgresUnit] = Executor(
        leases=PostgresIntentLeases(database), units=units, handlers={"order": OrderOnce(outside)}
    )
    eventually(lambda: follower.perform_next() or effects(database), what="the follower")
    assert effects(database) == told
    assert outside.read_text().count("order") == orders if orders else not outside.exists()
    assert not follower.perform_next()


def test_a_process_that_slept_between_the_mark_and_the_call_does_not_call_any_more(
    database: Database,
    units: Units,
    schema: ProvisionedSchema,
    tmp_path: Path,
) -> None:
    outside = tmp_path / "outside"
    add(units, "order", "one")
    with process(schema, outside, at="prepared", sent="SIGSTOP") as sleeper:
        _, status = os.waitpid(sleeper.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        follower: Executor[PostgresUnit] = Executor(
            leases=PostgresIntentLeases(database),
            units=units,
            handlers={"order": OrderOnce(outside)},
        )
        eventually(follower.perform_next, what="the lease's end")
        assert effects(database) == ["ask 0"]
        sleeper.send_signal(signal.SIGCONT)
        assert sleeper.wait(60) == 0
    assert not outside.exists()
    assert effects(database) == ["ask 0"]


def test_a_call_that_outlasts_its_lease_is_not_made_twice(
    database: Database, units: Units, running: Running
) -> None:
    slow = Blocking()
    add(units, "slow", "one")
    running.start({"slow": slow})
    running.start({"slow": slow})
    try:
        eventually(lambda: slow.begun, what="the call")
        eventually(
            lambda: rows(
                database,
                f"SELECT 1 FROM intents WHERE begun_at + interval '{2.5 * LEASE} s' < now()",
            ),
            what="more than two leases' time",
        )
    finally:
        running.end(slow)
    assert (slow.begun, slow.in_doubt, effects(database)) == (["one"], [], ["one"])


def test_a_call_that_hangs_is_overtaken_and_records_nothing(
    database: Database, units: Units, running: Running
) -> None:
    hanging, follower = Blocking(), Blocking()
    follower.let_go.set()
    add(units, "slow", "one")
    running.start({"slow": hanging}, call_seconds_max=LEASE / 2, threads_per_kind=1)
    try:
        eventually(lambda: hanging.begun, what="the call")
        running.start({"slow": follower})
        eventually(lambda: effects(database), what="the follower")
        assert follower.in_doubt == ["one"]
    finally:
        running.end(hanging)
    assert effects(database) == ["one"]


def test_many_executors_share_the_work_and_perform_each_intent_once(
    database: Database, units: Units, running: Running
) -> None:
    quick = Blocking()
    quick.let_go.set()
    subjects = [f"{number:03}" for number in range(60)]
    add(units, "quick", *subjects)
    try:
        for _ in range(4):
            running.start({"quick": quick}, lease_seconds=60.0)
        eventually(lambda: len(effects(database)) >= len(subjects), what="all of it")
    finally:
        running.end(quick)
    assert sorted(quick.begun) == effects(database) == subjects


def test_a_dead_server_with_a_hundred_mails_due_delays_no_payout(
    database: Database, units: Units, running: Running
) -> None:
    mails, payouts = Blocking(), Blocking()
    payouts.let_go.set()
    add(units, "mail", *(f"{number:03}" for number in range(100)))
    running.start({"mail": mails, "payout": payouts}, threads_per_kind=2)
    try:
        eventually(lambda: len(mails.begun) == 2, what="the mails that hang")
        for number in range(5):
            add(units, "payout", f"payout {number}")
            eventually(
                lambda n=number: len(effects(database)) == n + 1,  # type: ignore[misc]
                within_seconds=5,
                what="the payout",
            )
        IntentOverview(database).measure(["mail", "payout", "other"])
        assert (due_of("mail"), due_of("payout"), due_of("other")) == (100, 0, 0)
        assert lateness_of("mail") > 0
        assert lateness_of("payout") == 0
        assert len(mails.begun) == 2
    finally:
        running.end(mails)


def due_of(kind: str) -> float:
    return float(INTENTS_DUE.labels(kind=kind)._value.get())


def lateness_of(kind: str) -> float:
    return float(INTENT_OLDEST_DUE_AGE.labels(kind=kind)._value.get())


def test_who_is_told_to_stop_finishes_what_is_begun_and_begins_nothing_else(
    database: Database, units: Units, running: Running
) -> None:
    slow = Blocking()
    add(units, "slow", *(f"{number}" for number in range(6)))
    running.start({"slow": slow}, threads_per_kind=2)
    eventually(lambda: len(slow.begun) == 2, what="two calls")
    running.stop.set()
    first_until = rows(database, "SELECT max(leased_until) AS at FROM intents")[0].at
    eventually(
        lambda: rows(database, "SELECT max(leased_until) AS at FROM intents")[0].at > first_until,
        what="a renewal after the stop",
    )
    running.end(slow)
    assert effects(database) == sorted(slow.begun)
    untouched = rows(database, "SELECT 1 FROM intents WHERE attempts = 0 AND lease = 0")
    assert len(untouched) == 4


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(hours=-1)])
def test_at_once_is_at_once_whatever_the_clock_of_the_machine_that_wants_it(
    ahead: timedelta, database: Database, contracts: Contracts
) -> None:
    wrong: Clock = FixedClock(datetime.now(UTC) + ahead)
    units = Units(
        database, lambda connection: PostgresUnit(connection, contracts=contracts, clock=wrong)
    )
    handler = Blocking()
    handler.let_go.set()
    executor: Executor[PostgresUnit] = Executor(
        leases=PostgresIntentLeases(database), units=units, handlers={"quick": handler}
    )
    add(units, "quick", "one")
    assert executor.perform_next()
    later = datetime.now(UTC) + timedelta(days=1)
    units.run(lambda unit: unit.intents.add(kind="quick", subject_id="two", due_at=later))
    assert not executor.perform_next()
    assert units.run(lambda unit: unit.intents.hurry(kind="quick", subject_id="two"))
    assert executor.perform_next()


@pytest.mark.parametrize("is_taken_over", [False, True])
def test_who_asks_for_its_lease_waits_for_whoever_is_at_it(
    is_taken_over: bool,  # noqa: FBT001 - a parameter of pytest's
    database: Database,
    units: Units,
) -> None:
    leases = PostgresIntentLeases(database)
    add(units, "quick", "one")
    (leased,) = leases.lease_due(places={"quick": 1}, most=1, lease_seconds=60)
    renewal = LeaseRenewal(leases, lease_seconds=60, call_seconds_max=600)
    slept = Moment(now := Moment.now().monotonic - 31, now)
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE :q"

    def renew_meanwhile(unit: PostgresUnit) -> Future[bool]:
        unit.connection.exec_driver_sql(
            "UPDATE intents SET leased_until = leased_until, lease = lease + %s",
            (int(is_taken_over),),
        )
        answer = pool.submit(renewal.is_ours_still, leased, since=slept)
        eventually(
            lambda: answer.done() or database.statement(waiting, {"q": "%WITH ours AS%"}),
            what="who asks waits",
        )
        return answer

    with ThreadPoolExecutor(1) as pool:
        assert units.run(renew_meanwhile).result(10) is not is_taken_over


def test_a_wall_clock_that_jumps_makes_a_process_ask_and_go_on(
    database: Database, units: Units
) -> None:
    leases = PostgresIntentLeases(database)
    add(units, "quick", "one")
    (leased,) = leases.lease_due(places={"quick": 1}, most=1, lease_seconds=60)
    asked: list[LeasedIntent] = []

    class Asked(PostgresIntentLeases):
        def renew(
            self, leased: Any, *, lease_seconds: float, waits: bool = False
        ) -> set[tuple[str, str]]:
            asked.extend(leased)
            return super().renew(leased, lease_seconds=lease_seconds, waits=waits)

    renewal = LeaseRenewal(Asked(database), lease_seconds=60, call_seconds_max=600)
    now = Moment.now()
    assert renewal.is_ours_still(leased, since=now)
    assert not asked
    jumped = Moment(now.monotonic, now.wall - 3600)
    assert renewal.is_ours_still(leased, since=jumped)
    assert asked == [leased]
    database.statement("UPDATE intents SET lease = lease + 1", {})
    assert not renewal.is_ours_still(leased, since=jumped)
