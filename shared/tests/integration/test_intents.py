"""Intents on real PostgreSQL: performed under a lease, fenced, never lost."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from octoco.clock import FixedClock
from octoco.database import Database, PostgresUnit, PostgresUnitsOfWork
from octoco.errors import NotTried, Unavailable
from octoco.intents import Again, Done, Intent
from octoco.intents.executor import LEASE_SECONDS, Executor
from octoco.intents.leases import PostgresIntentLeases
from octoco.testing import eventually
from octoco.testing.provisions import ProvisionedSchema

Units = PostgresUnitsOfWork[PostgresUnit]
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Scripted:
    """A handler whose call does what the test says, and which writes down each step."""

    schedule_seconds: Sequence[float] = (10, 60)

    def __init__(self, call: Callable[[], Done | Again] = Done) -> None:
        self.on_call = call
        self.steps: list[str] = []

    def prepare(self, unit: PostgresUnit, intent: Intent) -> str | None:
        self.steps.append(f"prepare {intent.attempt}")
        return intent.subject_id

    def call(self, prepared: str) -> Done | Again:
        self.steps.append("call")
        return self.on_call()

    def record(
        self, unit: PostgresUnit, intent: Intent, *, prepared: str, answer: Done | Again
    ) -> Done | Again:
        self.steps.append("record")
        unit.connection.exec_driver_sql("INSERT INTO effects VALUES (%s, 1)", (prepared,))
        return answer


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOON)


@pytest.fixture
def perform(database: Database, units: Units, clock: FixedClock) -> Callable[[Scripted], bool]:
    def once(handler: Scripted) -> bool:
        return Executor(
            leases=PostgresIntentLeases(database, clock=clock),
            units=units,
            handlers={"probe": handler},
        ).perform_next()

    units.run(lambda unit: unit.intents.add(kind="probe", subject_id="one", due_at=NOON))
    return once


def effects(database: Database) -> int:
    return int(
        database.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM effects").scalar_one())
    )


def test_an_intent_is_performed_once_and_then_never_again(
    perform: Callable[[Scripted], bool], database: Database, units: Units
) -> None:
    handler = Scripted()
    assert perform(handler)
    assert handler.steps == ["prepare 1", "call", "record"]
    assert not perform(handler)
    assert not units.run(lambda unit: unit.intents.add(kind="probe", subject_id="one"))
    assert effects(database) == 1


def test_what_is_not_available_is_tried_again_on_its_own_schedule(
    perform: Callable[[Scripted], bool], clock: FixedClock
) -> None:
    def away() -> Done:
        raise Unavailable("away")

    handler = Scripted(away)
    assert perform(handler)
    clock.advance(timedelta(seconds=9))
    assert not perform(handler)
    clock.advance(timedelta(seconds=1))
    assert perform(handler)
    clock.advance(timedelta(seconds=59))
    assert not perform(handler)
    clock.advance(timedelta(seconds=1))
    handler.on_call = Done
    assert perform(handler)
    assert handler.steps[-3:] == ["prepare 3", "call", "record"]


def test_a_bug_in_a_handler_loses_nothing(
    perform: Callable[[Scripted], bool], clock: FixedClock, database: Database
) -> None:
    def bug() -> Done:
        raise ZeroDivisionError

    handler = Scripted(bug)
    assert perform(handler)
    assert effects(database) == 0
    clock.advance(timedelta(seconds=10))
    handler.on_call = Done
    assert perform(handler)
    assert effects(database) == 1


def test_an_executor_that_died_is_followed_after_its_lease_and_prepare_runs_again(
    perform: Callable[[Scripted], bool], clock: FixedClock, database: Database
) -> None:
    class Died(BaseException):
        pass

    def die() -> Done:
        raise Died

    handler = Scripted(die)
    with pytest.raises(Died):
        perform(handler)
    assert not perform(handler)
    clock.advance(timedelta(seconds=LEASE_SECONDS))
    handler.on_call = Done
    assert perform(handler)
    assert handler.steps == ["prepare 1", "call", "prepare 2", "call", "record"]
    assert effects(database) == 1


def test_an_executor_that_lost_its_lease_records_nothing(
    perform: Callable[[Scripted], bool], clock: FixedClock, database: Database
) -> None:
    # It is not finished, so that the lease alone tells the two apart.
    quick = Scripted(lambda: Again(reason="not yet", after_seconds=3600))

    def overtaken() -> Done:
        clock.advance(timedelta(seconds=LEASE_SECONDS))
        assert perform(quick)
        return Done()

    slow = Scripted(overtaken)
    assert perform(slow)
    assert quick.steps == ["prepare 2", "call", "record"]
    assert slow.steps == ["prepare 1", "call"]
    assert effects(database) == 1


def test_a_hurried_intent_is_due_at_once(
    perform: Callable[[Scripted], bool], units: Units, clock: FixedClock
) -> None:
    handler = Scripted(lambda: Again(reason="not yet", after_seconds=3600))
    assert perform(handler)
    assert not perform(handler)
    units.run(
        lambda unit: (
            unit.connection.exec_driver_sql(
                "UPDATE intents SET due_at = %s", (NOON + timedelta(hours=1),)
            ).rowcount
        )
    )
    assert units.run(lambda unit: unit.intents.hurry(kind="probe", subject_id="one"))
    clock.advance(timedelta(days=1))
    assert perform(handler)


def test_being_turned_away_untried_uses_up_no_try(
    perform: Callable[[Scripted], bool], clock: FixedClock
) -> None:
    def turned_away() -> Done:
        raise NotTried("circuit open", retry_after_seconds=10)

    handler = Scripted(turned_away)
    for _ in range(5):
        assert perform(handler)
        clock.advance(timedelta(seconds=16))
    handler.on_call = Done
    assert perform(handler)
    assert handler.steps[-3:] == ["prepare 1", "call", "record"]


def test_an_answer_with_a_time_of_its_own_begins_the_counting_anew(
    perform: Callable[[Scripted], bool], clock: FixedClock
) -> None:
    def away() -> Done:
        raise Unavailable("away")

    handler = Scripted(lambda: Again(reason="still open", after_seconds=30))
    for _ in range(5):
        assert perform(handler)
        clock.advance(timedelta(seconds=30))
    handler.on_call = away
    assert perform(handler)
    clock.advance(timedelta(seconds=10))
    assert perform(handler), "the first failure waits by the first place of the schedule"


class Doubting(Scripted):
    """Writes down at each try whether an earlier call may have been made."""

    def prepare(self, unit: PostgresUnit, intent: Intent) -> str | None:
        self.steps.append("in doubt" if intent.was_begun else "sure")
        return intent.subject_id


def raising(error: Exception) -> Callable[[], Done | Again]:
    def call() -> Done | Again:
        raise error

    return call


@pytest.mark.parametrize(
    ("call", "next_one"),
    [
        (raising(Unavailable("no answer")), "in doubt"),
        (raising(ZeroDivisionError("a bug")), "in doubt"),
        (raising(NotTried("circuit open", retry_after_seconds=10)), "sure"),
        (lambda: Again(reason="greylisted"), "sure"),
        (lambda: Again(reason="lost within the body", in_doubt=True), "in doubt"),
    ],
)
def test_the_next_try_knows_whether_the_call_may_have_been_made(
    perform: Callable[[Scripted], bool],
    clock: FixedClock,
    call: Callable[[], Done | Again],
    next_one: str,
) -> None:
    handler = Doubting(call)
    assert perform(handler)
    clock.advance(timedelta(seconds=60))
    handler.on_call = Done
    assert perform(handler)
    assert handler.steps[0] == "sure"
    assert [step for step in handler.steps if step in {"sure", "in doubt"}][1] == next_one


def test_a_doubt_stays_through_tries_that_sent_nothing_and_ends_with_an_answer(
    perform: Callable[[Scripted], bool], clock: FixedClock, database: Database
) -> None:
    handler = Doubting(raising(Unavailable("no answer")))
    answers: list[Callable[[], Done | Again]] = [
        raising(NotTried("circuit open", retry_after_seconds=1)),
        lambda: Again(reason="not yet"),
        Done,
    ]
    assert perform(handler)
    for answer in answers:
        clock.advance(timedelta(minutes=2))
        handler.on_call = answer
        assert perform(handler)
    said = [step for step in handler.steps if step in {"sure", "in doubt"}]
    assert said == ["sure", "in doubt", "in doubt", "sure"]
    (row,) = database.statement("SELECT begun_at, answered_at, finished_at FROM intents", {})
    assert row.begun_at <= row.answered_at == row.finished_at


def test_a_database_that_goes_away_in_prepare_leaves_no_doubt(
    perform: Callable[[Scripted], bool], clock: FixedClock
) -> None:
    class Interrupted(Doubting):
        def prepare(self, unit: PostgresUnit, intent: Intent) -> str | None:
            super().prepare(unit, intent)
            if len(self.steps) == 1:
                raise Unavailable("the database goes away")
            return intent.subject_id

    handler = Interrupted()
    assert perform(handler)
    clock.advance(timedelta(seconds=10))
    assert perform(handler)
    assert handler.steps == ["sure", "sure", "call", "record"]


def test_an_intent_with_nothing_left_to_do_is_finished_without_a_call(
    perform: Callable[[Scripted], bool], database: Database
) -> None:
    class NothingLeft(Scripted):
        def prepare(self, unit: PostgresUnit, intent: Intent) -> str | None:
            return None

    handler = NothingLeft()
    assert perform(handler)
    (row,) = database.statement("SELECT begun_at, finished_at FROM intents", {})
    assert (row.begun_at, handler.steps) == (None, [])
    assert row.finished_at is not None


def test_an_executors_threads_outlive_whatever_the_database_says(
    database: Database, units: Units, schema: ProvisionedSchema
) -> None:
    handler = Scripted()
    executor = Executor(
        leases=PostgresIntentLeases(database),
        units=units,
        handlers={"probe": handler},
        threads_per_kind=2,
    )
    _allow_writing(schema, allowed=False)
    stop = threading.Event()
    running = threading.Thread(target=executor.run, args=(stop,))
    running.start()
    try:
        for _ in range(20):
            executor.wake()
            assert not stop.wait(0.02)
        _allow_writing(schema, allowed=True)
        units.run(lambda unit: unit.intents.add(kind="probe", subject_id="later"))
        executor.wake()
        eventually(lambda: handler.steps == ["prepare 1", "call", "record"], what="the intent")
    finally:
        _allow_writing(schema, allowed=True)
        stop.set()
        executor.wake()
        running.join(10)


def _allow_writing(schema: ProvisionedSchema, *, allowed: bool) -> None:
    admin = psycopg2.connect(schema.admin_url)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(
            f"ALTER ROLE probe SET default_transaction_read_only = {'off' if allowed else 'on'}"
        )
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = 'probe'"
            " AND datname = current_database()"
        )
    admin.close()
