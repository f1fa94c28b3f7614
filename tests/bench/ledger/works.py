"""What one worker process does over and over: each work is one unit, and says how many postings.

A work runs on the wallet's real objects, put together by its own bootstrap; only `psycopg2` calls
the kernel's function bare.
"""

import base64
import itertools
import json
import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import psycopg2
from environs import Env
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT

from octoco.ids import new_id
from octoco.money import Money
from octoco.telemetry.metrics import UNIT_RETRIES
from wallet.bootstrap import Wallet, build, build_sealing
from wallet.config import Settings, read, read_seals
from wallet.domain.ledger import Posting, PostingKind
from wallet.entrypoints.jobs import jobs
from wallet.entrypoints.sealing import sealing_job
from wallet.messages.inbound import DepositPaid
from wallet.messages.outbound import DepositCompleted, MoneyFactAnswered
from wallet.use_cases.credit_deposit import credit_deposit, credit_deposits
from wallet.use_cases.find_transaction import list_transactions
from wallet.use_cases.get_balance import get_balance

from .databases import CURRENCY, HEAVY_USER, deposit_id, user_id

AMOUNT: Final = Money(Decimal("12.50"), CURRENCY)
PAGE_SIZE: Final = 20
# One in so many pages and balances is the heavy user's.
HEAVY_SHARE: Final = 5
# Oftener than in service, so that a short slot has its share of their work.
JOBS_EVERY_SECONDS: Final = 1.0
_POST: Final = (
    "SELECT repeated, available FROM post_transfer(%s, 'deposit', %s, %s, 'ZAR', %s, %s, %s)"
)
_LIMIT: Final = "SELECT post(%s, %s, %s, 'ZAR', %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is to do.

    Args:
        work: A name in `WORKS`.
        database_url: Of the wallet, as the service's role.
        users: How many users it has.
        size: Postings in a unit of `batch`; the number of seeded transfers for `history`.
        numbers: Of the pending deposits that are this worker's to credit.
        heads_file: Where `jobs` keeps the heads of seals; "" for the other works.
    """

    work: str
    database_url: str
    users: int
    size: int = 1
    numbers: range = range(0)
    heads_file: str = ""


@dataclass(slots=True)
class Bench:
    """One worker's tools: its connections stay open from round to round.

    Args:
        random: Its own dice.
    """

    random: random.Random
    lost_races: int = 0
    _wallets: dict[str, Wallet] = field(default_factory=dict)
    _connections: dict[str, psycopg2.extensions.connection] = field(default_factory=dict)

    def wallet(self, url: str) -> Wallet:
        if url not in self._wallets:
            self._wallets[url] = build(_settings(url))
        return self._wallets[url]

    def connection(self, url: str) -> psycopg2.extensions.connection:
        if url not in self._connections:
            opened = psycopg2.connect(
                url,
                options="-c default_transaction_isolation=serializable "
                "-c plan_cache_mode=force_generic_plan",
                connect_timeout=5,
            )
            opened.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
            self._connections[url] = opened
        return self._connections[url]

    def retries(self) -> float:
        """How often a unit was run again so far, by the wallet or by the bare peer."""
        samples = [sample for metric in UNIT_RETRIES.collect() for sample in metric.samples]
        return self.lost_races + sum(
            sample.value for sample in samples if sample.name.endswith("_total")
        )

    def close(self) -> None:
        for wallet in self._wallets.values():
            wallet.database.dispose()
        for connection in self._connections.values():
            connection.close()


# Does one unit; returns its postings (or reads), or None when there is nothing left to do.
Unit = Callable[[], int | None]


def psycopg2_unit(bench: Bench, job: Job) -> Unit:
    """The kernel's function, called by a bare driver; one round trip is one unit."""
    return _bare_unit(bench, job, _POST, messages_of=lambda message: [message])


def limit_psycopg2_unit(bench: Bench, job: Job) -> Unit:
    """The ceiling's function by the same bare driver: what the driver takes, without the kernel."""
    return _bare_unit(bench, job, _LIMIT, messages_of=lambda message: message)


def _bare_unit(
    bench: Bench, job: Job, statement: str, *, messages_of: Callable[[object], object]
) -> Unit:
    connection = bench.connection(job.database_url)

    def run() -> int:
        user = user_id(bench.random.randint(1, job.users))
        purchase, now = new_id("pur"), datetime.now(UTC)
        message = {
            "message_id": new_id("msg"),
            "event_type": DepositCompleted.TYPE,
            "aggregate_id": new_id("txn"),
            "occurred_at": now.isoformat(),
            "data": _deposit_completed(user, now).to_data(),
            "correlation_id": new_id("cor"),
            "causation_id": None,
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        }
        key, messages = f"purchase:{purchase}", json.dumps(messages_of(message))
        arguments = (key, user, AMOUNT.amount, purchase, now, messages)
        while True:
            try:
                with connection.cursor() as cursor:
                    cursor.execute(statement, arguments)
                    cursor.fetchone()
                return 1
            except psycopg2.errors.SerializationFailure:
                bench.lost_races += 1

    return run


def single_unit(bench: Bench, job: Job) -> Unit:
    """One posting with one message, which together are the whole unit of work."""
    wallet = bench.wallet(job.database_url)

    def run() -> int:
        user, now = user_id(bench.random.randint(1, job.users)), wallet.clock.now()
        wallet.postings.post(_deposit(user, now), announcing=[_deposit_completed(user, now)])
        return 1

    return run


def single_in_unit_unit(bench: Bench, job: Job) -> Unit:
    """The same inside of an open unit, as use cases do that store more than the posting."""
    wallet = bench.wallet(job.database_url)

    def run() -> int:
        user, now = user_id(bench.random.randint(1, job.users)), wallet.clock.now()
        posting, message = _deposit(user, now), _deposit_completed(user, now)
        wallet.units.run(lambda unit: unit.ledger.post(posting, announcing=[message]))
        return 1

    return run


def hot_unit(bench: Bench, job: Job) -> Unit:
    """The same with a fee: both legs of every posting are on the same two system accounts."""
    wallet = bench.wallet(job.database_url)

    def run() -> int:
        purchase, now = new_id("pur"), wallet.clock.now()
        posting = Posting(
            business_key=f"fee:{purchase}",
            kind=PostingKind.FEE,
            user_id=None,
            money=AMOUNT,
            subject=purchase,
            effective_at=now,
        )
        message = MoneyFactAnswered(
            fact_key=f"purchase:{purchase}",
            outcome="credited",
            code=None,
            transaction_id=new_id("txn"),
            answered_at=now,
        )
        wallet.postings.post(posting, announcing=[message])
        return 1

    return run


def credit_unit(bench: Bench, job: Job) -> Unit:
    """The whole use case that credits a paid deposit, with its answer and its timeline."""
    wallet = bench.wallet(job.database_url)
    numbers = iter(job.numbers)

    def run() -> int | None:
        number = next(numbers, None)
        if number is None:
            return None
        now = wallet.clock.now()
        fact = _deposit_paid(number, now)
        answer = wallet.units.run(lambda unit: credit_deposit(unit, fact, at=now))
        assert answer.outcome.value == "credited"
        return 1

    return run


def credit_together_unit(bench: Bench, job: Job) -> Unit:
    """What the consumer does when paid deposits queue up: many of them in one unit."""
    wallet = bench.wallet(job.database_url)
    numbers = iter(job.numbers)

    def run() -> int | None:
        now = wallet.clock.now()
        facts = [_deposit_paid(number, now) for number in itertools.islice(numbers, job.size)]
        if not facts:
            return None
        wallet.units.run(lambda unit: credit_deposits(unit, facts, at=now))
        return len(facts)

    return run


def batch_unit(bench: Bench, job: Job) -> Unit:
    """Many postings with a message each, which together are the whole unit of work."""
    wallet = bench.wallet(job.database_url)

    def run() -> int:
        postings, messages = _batch(bench, job, wallet.clock.now())
        wallet.postings.post_all(postings, announcing=messages)
        return job.size

    return run


def batch_in_unit_unit(bench: Bench, job: Job) -> Unit:
    """The same inside of an open unit, with nobody to give the writers their turns."""
    wallet = bench.wallet(job.database_url)

    def run() -> int:
        postings, messages = _batch(bench, job, wallet.clock.now())
        wallet.units.run(lambda unit: unit.ledger.post_all(postings, announcing=messages))
        return job.size

    return run


def balance_unit(bench: Bench, job: Job) -> Unit:
    """A user's balance, as GET /v1/balances reads it."""
    wallet = bench.wallet(job.database_url)

    def run() -> int:
        user = _reader(bench, job)
        wallet.units.read(lambda unit: get_balance(unit, user_id=user, currency=CURRENCY))
        return 1

    return run


def history_unit(bench: Bench, job: Job) -> Unit:
    """A page of a user's transactions, in turn the first one and one deep in the past."""
    wallet = bench.wallet(job.database_url)
    pages = itertools.cycle((False, True))

    def run() -> int:
        user = _reader(bench, job)
        # Transactions are numbered in the order of time: any number is a place in the history.
        before = f"txn_{bench.random.randint(1, job.size):026d}" if next(pages) else None
        wallet.units.read(
            lambda unit: list_transactions(
                unit, user_id=user, kind=None, status=None, before_id=before, limit=PAGE_SIZE
            )
        )
        return 1

    return run


def jobs_unit(bench: Bench, job: Job) -> Unit:
    """Run every periodic job of the wallet's worker, seals among them, and rest a little."""
    wallet = bench.wallet(job.database_url)
    os.environ.update(
        LEDGER_SEAL_KEYS=f"bench:{base64.b64encode(bytes(32)).decode()}",
        LEDGER_SEAL_HEADS_FILE=job.heads_file,
    )
    sealing = build_sealing(wallet, read_seals(Env()))
    due = [*jobs(wallet), sealing_job(wallet, sealing)]
    rest = threading.Event()

    def run() -> int:
        for one in due:
            one.run()
        rest.wait(JOBS_EVERY_SECONDS)
        return 1

    return run


WORKS: Final[Mapping[str, Callable[[Bench, Job], Unit]]] = {
    "psycopg2": psycopg2_unit,
    "limit_psycopg2": limit_psycopg2_unit,
    "single": single_unit,
    "single_in_unit": single_in_unit_unit,
    "hot": hot_unit,
    "credit": credit_unit,
    "credit_together": credit_together_unit,
    "batch": batch_unit,
    "batch_in_unit": batch_in_unit_unit,
    "balance": balance_unit,
    "history": history_unit,
    "jobs": jobs_unit,
}


def _reader(bench: Bench, job: Job) -> str:
    is_heavy = bench.random.randrange(HEAVY_SHARE) == 0
    return user_id(HEAVY_USER if is_heavy else bench.random.randint(1, job.users))


def _batch(
    bench: Bench, job: Job, now: datetime
) -> tuple[Sequence[Posting], Sequence[DepositCompleted]]:
    users = [user_id(bench.random.randint(1, job.users)) for _ in range(job.size)]
    return [_deposit(user, now) for user in users], [
        _deposit_completed(user, now) for user in users
    ]


def _deposit(user: str, now: datetime) -> Posting:
    purchase = new_id("pur")
    return Posting(
        business_key=f"purchase:{purchase}",
        kind=PostingKind.DEPOSIT,
        user_id=user,
        money=AMOUNT,
        subject=purchase,
        effective_at=now,
    )


def _deposit_paid(number: int, now: datetime) -> DepositPaid:
    purchase = new_id("pur")
    return DepositPaid.from_data(
        {
            "fact_key": f"purchase:{purchase}",
            "purchase_id": purchase,
            "transaction_id": deposit_id(number),
            "amount": AMOUNT.amount_text,
            "currency": AMOUNT.currency,
            "fee_amount": None,
            "paid_at": now.isoformat(),
        }
    )


def _deposit_completed(user: str, now: datetime) -> DepositCompleted:
    return DepositCompleted(
        transaction_id=new_id("txn"),
        user_id=user,
        money=AMOUNT,
        available=AMOUNT,
        completed_at=now,
    )


def _settings(url: str) -> Settings:
    # As the service itself is told; a process has one environment, so the last address stays in it.
    os.environ.update(
        DATABASE_URL=url, AMQP_URL="amqp://unset", JWKS_URL="http://127.0.0.1:9/unused"
    )
    return read(Env())
