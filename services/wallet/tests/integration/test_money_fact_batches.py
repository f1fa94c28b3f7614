"""Facts about money handled together leave behind exactly what they leave one by one."""

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import pytest
import sqlalchemy
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from octoco.errors import Refusal
from octoco.events import Event
from octoco.ids import new_id
from octoco.messaging.ports import Fate
from octoco.messaging.publisher import ConfirmedPublisher
from octoco.messaging.topology import Topology
from octoco.testing import eventually
from octoco.testing.seeds import examples
from octoco.worker import Worker
from wallet.adapters.postgres.ledger_audit import findings_on
from wallet.bootstrap import Wallet
from wallet.domain.transactions import Transaction, TransactionKind
from wallet.entrypoints.consumer import batch_subscriptions, subscriptions
from wallet.entrypoints.http.app import application
from wallet.entrypoints.worker import worker_parts
from wallet.use_cases.answer_money_facts import FactsNotTogether

from .driving import Driver, event_of, instant, zar

PAID: Final = "payments.deposit.paid.v1"
SUCCEEDED: Final = "payments.payout.succeeded.v1"
# What is said of the money: right amount first, so that examples shrink towards it.
AMOUNTS: Final = ("10.00", "10.01", "9999.00")
FEES: Final = (None, "0.00", "0.50", "0.70")
TARGETS: Final = 7


@dataclass(frozen=True)
class Told:
    """One delivery of a fact: which fact, about which transaction, saying what."""

    number: int
    target: int
    amount: str
    fee: str | None


told = st.builds(
    Told,
    st.integers(0, 6),
    st.integers(0, TARGETS),
    st.sampled_from(AMOUNTS),
    st.sampled_from(FEES),
)


class World:
    """Users with open deposits and withdrawals, the same for each world but for the ids."""

    def __init__(self, wallet: Wallet) -> None:
        self.wallet, self.driver = wallet, Driver(wallet)
        self._labels: dict[str, str] = {}
        rich, owing = (self._called("user", self.driver.new_user()) for _ in range(2))
        self._owe(owing)
        self.users = [rich, owing]
        bank_accounts = [self.driver.new_bank_account(user) for user in self.users]
        self._called("bank", *bank_accounts)
        money = zar("10.00")
        self.deposits = [
            self.driver.request_deposit(user, money).id for user in (*self.users, rich)
        ]
        self.deposits += [
            self._deposit_of(user_id) for user_id in (new_id("usr"), self._bare_user())
        ]
        fund = self.driver.request_deposit(rich, zar("100.00"))
        self._called("fund", fund.id)
        self.driver.pay(fund.id, zar("100.00"), purchase_id=self._called("fund", new_id("pur")))
        self.withdrawals = [
            self.driver.request_withdrawal(rich, money, bank_account_id=bank_accounts[0]).id
            for _ in range(4)
        ]
        self.driver.fail_payout(self.withdrawals[3], money)
        # A target may be of the wrong kind, or nobody's.
        self.deposits += [self.withdrawals[0], new_id("txn")]
        self.withdrawals += [self.deposits[0], new_id("txn"), self.deposits[3]]
        self._called("deposit", *self.deposits)
        self._called("withdrawal", *self.withdrawals)
        self.facts = [self._called("fact", new_id("fct")) for _ in range(7)]

    def paid(self, fact: Told) -> Event:
        fact_id = self.facts[fact.number]
        target = self.deposits[fact.target] if fact.target < TARGETS else None
        return self._event(
            PAID, fact, fact_key=f"purchase:{fact_id}", purchase_id=fact_id, transaction_id=target
        )

    def succeeded(self, fact: Told) -> Event:
        fact_id = self.facts[fact.number]
        target = self.withdrawals[fact.target % TARGETS]
        return self._event(
            SUCCEEDED, fact, fact_key=f"payout:{fact_id}", payout_id=fact_id, transaction_id=target
        )

    def one_by_one(self, events: Sequence[Event]) -> None:
        handlers = subscriptions(self.wallet)
        for event in events:
            try:
                self.wallet.units.run(
                    lambda unit, event=event: handlers[event.type](unit, event)  # type: ignore[misc]
                )
            except Refusal:
                continue

    def together(self, events: Sequence[Event]) -> None:
        """Handle them as the consumer does: what refuses as a batch is taken apart."""
        handler = batch_subscriptions(self.wallet)[events[0].type]
        try:
            self.wallet.units.run(lambda unit: handler(unit, events))
        except (Refusal, FactsNotTogether):
            self.one_by_one(events)

    def picture(self) -> str:
        """Everything that the facts can have changed, without ids and times."""
        mine = list(self._labels)
        rows = {
            name: [dict(row._mapping) for row in self.driver.rows(query, mine=mine)]
            for name, query in _PICTURE.items()
        }
        text = json.dumps(rows, default=str, indent=1, sort_keys=True)
        for one, label in self._labels.items():
            text = text.replace(one, label)
        return text

    def _called(self, label: str, *ids: str) -> str:
        for one in ids:
            self._labels.setdefault(one, f"{label} {len(self._labels)}")
        return ids[0]

    def _owe(self, user_id: str) -> None:
        deposit = self.driver.request_deposit(user_id, zar("15.00"))
        purchase_id = self._called("taken back", new_id("pur"))
        self._called("taken back", deposit.id)
        self.driver.pay(deposit.id, zar("15.00"), purchase_id=purchase_id)
        bank_account_id = self.driver.new_bank_account(user_id)
        withdrawal = self.driver.request_withdrawal(
            user_id, zar("15.00"), bank_account_id=bank_account_id
        )
        self._called("spent", withdrawal.id, bank_account_id)
        chargeback_id = self._called("chargeback", new_id("cb"))
        self.driver.charge_back(purchase_id, zar("15.00"), chargeback_id=chargeback_id)
        assert self.driver.balance(user_id).receivable == zar("15.00")

    def _bare_user(self) -> str:
        """Return a user without ledger accounts: every credit is refused."""
        user_id = new_id("usr")
        at = self.wallet.clock.now()
        self.wallet.units.run(lambda unit: unit.users.remember(user_id=user_id, seen_at=at))
        return user_id

    def _deposit_of(self, user_id: str) -> str:
        self._called("user", user_id)
        deposit = Transaction.requested(
            id=new_id("txn"),
            user_id=user_id,
            kind=TransactionKind.DEPOSIT,
            money=zar("10.00"),
            at=self.wallet.clock.now(),
        )
        self.wallet.units.run(lambda unit: unit.transactions.add(deposit))
        return deposit.id

    def _event(self, event_type: str, fact: Told, **named: Any) -> Event:
        when = "paid_at" if event_type == PAID else "succeeded_at"
        data = {
            **named,
            "amount": fact.amount,
            "currency": "ZAR",
            "fee_amount": fact.fee,
            when: "2026-11-22T12:00:00Z",
        }
        self.wallet.contracts.check_outbound(event_type, data)
        return event_of(event_type, data)


_PICTURE: Final = {
    "transactions": """
        SELECT id, status, provider_id, reason_code, saga_step FROM transactions
        WHERE id = ANY(:mine) ORDER BY array_position(:mine, id)
    """,
    "timeline": """
        SELECT transaction_id, status, cause, detail FROM transaction_events
        WHERE transaction_id = ANY(:mine) ORDER BY array_position(:mine, transaction_id), id
    """,
    "answers": """
        SELECT fact_key, outcome, code, amount, transaction_id FROM money_fact_answers
        WHERE split_part(fact_key, ':', 2) = ANY(:mine)
        ORDER BY array_position(:mine, split_part(fact_key, ':', 2))
    """,
    "cases": """
        SELECT kind, subject, amount, transaction_id, detail FROM operator_cases
        WHERE split_part(subject, ':', 2) = ANY(:mine)
        ORDER BY array_position(:mine, split_part(subject, ':', 2)), kind, subject
    """,
    "announced": """
        SELECT aggregate_id, event_type, data - '{answered_at,completed_at,requested_at}'::text[]
            AS data
        FROM outbox WHERE aggregate_id = ANY(:mine) OR split_part(aggregate_id, ':', 2) = ANY(:mine)
        ORDER BY coalesce(array_position(:mine, aggregate_id),
                          array_position(:mine, split_part(aggregate_id, ':', 2))), id
    """,
    "transfers": """
        SELECT business_key, kind, user_id, amount, subject FROM transfers
        WHERE split_part(business_key, ':', 2) = ANY(:mine)
        ORDER BY array_position(:mine, split_part(business_key, ':', 2)), business_key
    """,
    "entries": """
        SELECT t.business_key, a.user_id, a.kind, e.amount, e.version, e.balance_after
        FROM ledger_accounts a JOIN entries e ON e.ledger_account_id = a.id
        JOIN transfers t ON t.id = e.transfer_id
        WHERE a.user_id = ANY(:mine)
        ORDER BY array_position(:mine, a.user_id), a.kind, e.version
    """,
    "balances": """
        SELECT user_id, currency, kind, balance, version FROM ledger_accounts
        WHERE user_id = ANY(:mine)
        ORDER BY array_position(:mine, user_id), currency, kind
    """,
    "fees": """
        SELECT subject, totals FROM fee_totals WHERE subject = ANY(:mine)
        ORDER BY array_position(:mine, subject)
    """,
}


def split(events: Sequence[Event], at: int) -> list[Sequence[Event]]:
    return [part for part in (events[:at], events[at:]) if part]


@pytest.mark.parametrize("of", [World.paid, World.succeeded], ids=["deposits", "payouts"])
def test_a_batch_leaves_behind_what_one_by_one_leaves(
    bare_wallet: Wallet, of: Callable[[World, Told], Event]
) -> None:
    @settings(
        max_examples=examples(20),
        deadline=None,
        # Each example builds two worlds: shrinking would take longer than reading what differs.
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(st.lists(told, min_size=1, max_size=14), st.integers(0, 14))
    def check(facts: list[Told], at: int) -> None:
        apart, batched = World(bare_wallet), World(bare_wallet)
        apart.one_by_one([of(apart, fact) for fact in facts])
        for part in split([of(batched, fact) for fact in facts], at):
            batched.together(part)
        assert batched.picture() == apart.picture()

    check()


def test_the_plain_case_is_not_taken_apart_and_takes_as_many_statements_as_one(
    bare_wallet: Wallet,
) -> None:
    world = World(bare_wallet)
    facts = [Told(number, target, "10.00", "0.50") for number, target in ((0, 0), (1, 1), (2, 2))]
    handler = batch_subscriptions(bare_wallet)[PAID]
    counts = []
    for part in ([facts[0]], facts[1:]):
        statements: list[str] = []

        def work(unit: Any, part: Sequence[Told] = part, into: list[str] = statements) -> None:
            _note_statements(unit.connection, into)
            handler(unit, [world.paid(fact) for fact in part])

        bare_wallet.units.run(work)
        counts.append(len(statements))
    assert counts == [7, 7]
    assert [world.driver.status(one) for one in world.deposits[:3]] == ["completed"] * 3


def test_batches_and_requests_over_http_for_the_same_users_lose_no_cent(
    wallet: Wallet, driver: Driver, headers: Callable[..., dict[str, str]]
) -> None:
    users = [driver.user_with("100.00") for _ in range(4)]
    bank_accounts = [driver.new_bank_account(user) for user in users]
    deposits = [
        (user, driver.request_deposit(user, zar("10.00")).id) for _ in range(20) for user in users
    ]
    handler = batch_subscriptions(wallet)[PAID]
    app = application(wallet)
    start = threading.Barrier(3)

    def credit() -> None:
        start.wait(30)
        for first in range(0, len(deposits), 20):
            events = [paid_event(one) for _, one in deposits[first : first + 20]]
            wallet.units.run(lambda unit, events=events: handler(unit, events))  # type: ignore[misc]

    def withdraw() -> int:
        client: FlaskClient = app.test_client()
        start.wait(30)
        made = 0
        for _ in range(10):
            for user, bank_account_id in zip(users, bank_accounts, strict=True):
                body = {"amount": "7.00", "currency": "ZAR", "bank_account_id": bank_account_id}
                answer: Any = client.post("/v1/withdrawals", json=body, headers=headers(user))
                assert answer.status_code in (201, 422), answer.json
                made += answer.status_code == 201
        return made

    with ThreadPoolExecutor(3) as pool:
        crediting = pool.submit(credit)
        withdrawing = [pool.submit(withdraw) for _ in range(2)]
        crediting.result(120)
        made = sum(one.result(120) for one in withdrawing)
    balances = [driver.balance(user) for user in users]
    assert sum(one.held.amount for one in balances) == 7 * made
    assert {str(one.available + one.held) for one in balances} == {"ZAR 300.00"}
    assert_sound(wallet)


def test_two_workers_credit_a_flood_once_and_in_batches(
    wallet: Wallet, driver: Driver, amqp_url: str, topology_of: Callable[..., Topology]
) -> None:
    topology = topology_of("wallet")
    users = [driver.new_user() for _ in range(10)]
    deposits = [driver.request_deposit(user, zar("10.00")).id for _ in range(30) for user in users]
    workers = [Worker(worker_parts(wallet, topology=topology)) for _ in range(2)]
    stop = threading.Event()
    with ExitStack() as ending:
        publisher = ConfirmedPublisher(url=amqp_url, exchange=topology.exchange_name)
        ending.callback(publisher.close)
        for worker in workers:
            thread = threading.Thread(target=worker.run, args=(stop,))
            thread.start()
            ending.callback(thread.join, 30)
        ending.callback(stop.set)
        eventually(lambda: all(all(w.readiness().values()) for w in workers), what="two workers")
        events = [paid_event(deposit) for deposit in deposits]
        # Every fact comes twice, the second time as another message.
        events += [paid_event(deposit, events[place]) for place, deposit in enumerate(deposits)]
        assert set(publisher.publish(events)) == {Fate.CONFIRMED}
        done = "SELECT count(*) FROM inbox WHERE event_id = ANY(:ids)"
        ids = [event.id for event in events]
        eventually(
            lambda: driver.scalar(done, ids=ids) == len(ids), within_seconds=60, what="all events"
        )
    assert {str(driver.balance(user).available) for user in users} == {"ZAR 300.00"}
    assert_sound(wallet)


def paid_event(deposit_id: str, again: Event | None = None) -> Event:
    purchase_id = again.data["purchase_id"] if again else new_id("pur")
    data = {
        "fact_key": f"purchase:{purchase_id}",
        "purchase_id": purchase_id,
        "transaction_id": deposit_id,
        "amount": "10.00",
        "currency": "ZAR",
        "fee_amount": "0.10",
        "paid_at": instant(),
    }
    return event_of(PAID, data)


def assert_sound(wallet: Wallet) -> None:
    findings = wallet.database.read(
        lambda connection: findings_on(connection, on_check=lambda _: None)
    )
    assert [finding for finding in findings if finding.row is not None] == []


def _note_statements(connection: Any, into: list[str]) -> None:
    sqlalchemy.event.listen(
        connection, "before_cursor_execute", lambda *given: into.append(given[2])
    )
