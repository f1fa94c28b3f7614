"""Thousands of sagas while everything dies: each effect once, nothing lost, nothing left over.

docs/how-to/prove-the-messages.md says how to run more, how to replay a run and how to read it.
"""

import logging
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from octoco.events import Event
from octoco.ids import new_id
from octoco.messaging.publisher import ConfirmedPublisher
from octoco.messaging.topology import EXCHANGE
from octoco.testing import eventually

from .crashing import CALM
from .faults import Faults, Pace
from .ground import REGISTERED, Ground, ground
from .operating import Operator
from .sagas import Person, Plan, plans
from .settling import settle
from .telling import tell
from .verdict import Verdict
from .watch import Listener, Watch

SAGAS = int(os.environ.get("SAGAS", "300"))
SEED = os.environ.get("SEED") or str(random.SystemRandom().randrange(1_000_000))
PERSONS_AT_ONCE = 40
SAGAS_A_FAULT = 40
FAULTS_LEAST = 9
PROGRESS_SECONDS = 5.0
SETTLE_SECONDS = 60.0
PATIENCE_SECONDS = 120.0
TOLD_MAX = 5


@pytest.mark.slow
@pytest.mark.timeout(240 + SAGAS)
def test_every_saga_has_its_effect_once_whatever_dies_when(
    postgres_admin_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    # The broker is away now and then, and pika tells of it at length.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    say = _Said(capfd)
    say(f"SAGAS={SAGAS} SEED={SEED}: replay with `SAGAS={SAGAS} SEED={SEED} make proof`")
    with ground(postgres_admin_url, seed=SEED) as made:
        _prove(made, say)


def _prove(made: Ground, say: "_Said") -> None:
    chance = random.Random(SEED)
    made.journal.mark(CALM)
    drawn = plans(SAGAS, chance=chance, new_user_id=lambda: new_id("usr"))
    watch, listener = Watch(made, patience_seconds=PATIENCE_SECONDS), Listener(made)
    faults = Faults(made, chance=random.Random(f"{SEED}:faults"), say=say)
    scheduled = faults.schedule(max(FAULTS_LEAST, SAGAS // SAGAS_A_FAULT))
    pace = Pace(sagas=sum(len(plan.sagas) for plan in drawn), faults=scheduled, on_fault=say)
    persons = [Person(plan, ground=made, watch=watch, begin=pace.begin_saga) for plan in drawn]
    _introduce(made, drawn, persons)
    say(f"{len(persons)} persons are known; logs are in {made.logs}")
    operator = Operator(made, on_error=watch.give_up)
    for part in (watch, listener, operator, pace):
        part.start()
    made.journal.unmark(CALM)
    with (
        say.progress(lambda: f"sagas and faults begun {pace.begun}, sagas ended {watch.ended}"),
        ThreadPoolExecutor(PERSONS_AT_ONCE) as pool,
    ):
        playing = [pool.submit(person.do_all) for person in persons]
        try:
            pace.finish(within_seconds=PATIENCE_SECONDS + SAGAS)
        except BaseException:
            watch.give_up()
            raise
        made.journal.mark(CALM)
        say("all sagas have begun and the last fault is over")
        for one in playing:
            one.result()
    say("all sagas have ended")
    operator.stop()
    left = settle(made, operator, within_seconds=SETTLE_SECONDS)
    for part in (listener, watch):
        part.stop()
    endings = made.end_workers()
    verdict = Verdict(made, plans=drawn, listener=listener)
    say(f"killed: {dict(verdict.kills)}")
    say(f"died and were replayed twice: {operator.replayed}; facts pushed: {operator.pushed}")
    say(f"wait for a person, as they must: {len(verdict.waiting_for_person)}")
    findings = verdict.findings()
    for finding in findings[:TOLD_MAX]:
        say(f"FOUND: {finding.what}")
        if finding.saga is not None:
            say("\n".join(tell(made, finding.saga, listener)))
    found = [f"{one.saga.number if one.saga else '-'}: {one.what}" for one in findings]
    assert not found, f"SAGAS={SAGAS} SEED={SEED}, logs in {made.logs}:\n" + "\n".join(found[:40])
    assert not left, f"left over: {left}"
    assert set(endings.values()) == {0}, f"workers did not end by themselves: {endings}"


def _introduce(made: Ground, drawn: Sequence[Plan], persons: Sequence[Person]) -> None:
    """Let accounts tell of the persons, and wait until everybody knows them and their accounts."""
    publisher = ConfirmedPublisher(url=made.rabbitmq.url, exchange=EXCHANGE)
    try:
        publisher.publish([_registered(plan) for plan in drawn])
    finally:
        publisher.close()
    wallet = "SELECT count(*) FROM wallet.users"
    gateway = "SELECT count(*) FROM payments_gateway.known_users"
    for sql in (wallet, gateway):
        _until_counted(made, sql, len(drawn))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(Person.add_bank_accounts, persons))
    wanted = sum(len(plan.bank_accounts) for plan in drawn)
    _until_counted(made, "SELECT count(*) FROM wallet.bank_accounts", wanted)


def _until_counted(made: Ground, sql: str, wanted: int) -> None:
    eventually(lambda: made.rows(sql)[0][0] == wanted, within_seconds=60, what=f"{wanted} by {sql}")


def _registered(plan: Plan) -> Event:
    now = datetime.now(UTC)
    return Event(
        id=new_id("msg"),
        type=REGISTERED,
        source="accounts",
        aggregate_id=plan.user_id,
        occurred_at=now,
        data={
            "user_id": plan.user_id,
            "email": f"{plan.user_id.lower()}@example.com",
            "full_name": "Sipho Dlamini",
            "registered_at": now.isoformat().replace("+00:00", "Z"),
        },
        correlation_id=new_id("cor"),
    )


class _Said:
    """Says how it goes, past pytest's capture, with the seconds since the beginning."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        with self._lock, self._capfd.disabled():
            sys.stdout.write(f"[{time.monotonic() - self._began:6.1f} s] {text}\n")
            sys.stdout.flush()

    @contextmanager
    def progress(self, tell_it: Callable[[], str]) -> Iterator[None]:
        """Say it every few seconds for the block."""
        over = threading.Event()

        def say_it() -> None:
            while not over.wait(PROGRESS_SECONDS):
                self(tell_it())

        thread = threading.Thread(target=say_it, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
