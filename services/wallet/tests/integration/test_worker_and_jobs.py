"""The worker on a real broker, and its jobs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pika

from octoco.clock import FixedClock, SystemClock
from octoco.events import Event
from octoco.ids import new_id
from octoco.messaging.ports import Fate
from octoco.messaging.publisher import ConfirmedPublisher
from octoco.messaging.topology import Topology
from octoco.testing import eventually
from octoco.worker import Worker
from wallet.bootstrap import Wallet, build
from wallet.config import Settings
from wallet.entrypoints import jobs
from wallet.entrypoints.worker import worker_parts

from .driving import Driver, event_of, instant, zar
from .fresh_wallets import FreshWallets


@contextmanager
def running(wallet: Wallet, topology: Topology) -> Iterator[Worker[Any]]:
    stop = threading.Event()
    worker = Worker(worker_parts(wallet, topology=topology))
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: all(worker.readiness().values()), what="the worker")
        yield worker
    finally:
        stop.set()
        thread.join(30)


def test_a_deposit_is_credited_through_the_broker_though_every_message_comes_twice(
    wallet: Wallet, driver: Driver, amqp_url: str, topology_of: Callable[..., Topology]
) -> None:
    topology = topology_of("wallet")
    user_id, purchase_id = new_id("usr"), new_id("pur")
    publisher = ConfirmedPublisher(url=amqp_url, exchange=topology.exchange_name)

    def publish_twice(event_type: str, **data: Any) -> None:
        event: Event = event_of(event_type, data)
        assert publisher.publish([event, event]) == [Fate.CONFIRMED, Fate.CONFIRMED]

    with running(wallet, topology):
        publish_twice(
            "accounts.user.registered.v1",
            user_id=user_id,
            email="thandi@example.com",
            full_name="Thandi Nkosi",
            registered_at=instant(),
        )
        known = "SELECT 1 FROM users WHERE user_id = :id"
        eventually(lambda: driver.scalar(known, id=user_id), what="the user")
        deposit = driver.request_deposit(user_id, zar("250.00"))
        publish_twice(
            "payments.deposit.paid.v1",
            fact_key=f"purchase:{purchase_id}",
            purchase_id=purchase_id,
            transaction_id=deposit.id,
            amount="250.00",
            currency="ZAR",
            fee_amount=None,
            paid_at=instant(),
        )
        eventually(lambda: driver.status(deposit.id) == "completed", what="the credit")
    publisher.close()
    assert driver.balance(user_id).available == zar("250.00")


def test_what_the_wallet_announces_reaches_the_broker(
    fresh_wallets: FreshWallets, amqp_url: str, topology_of: Callable[..., Topology]
) -> None:
    # Alone: elsewhere the outbox holds what every other test announced.
    with fresh_wallets.one() as wallet:
        announce_to_broker(wallet, amqp_url, topology_of)


def announce_to_broker(wallet: Wallet, amqp_url: str, topology_of: Callable[..., Topology]) -> None:
    driver = Driver(wallet)
    topology = topology_of("wallet")
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    topology.declare(channel, ())
    listening = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(listening, topology.exchange_name, "wallet.#")
    user_id = driver.user_with("50.00")
    bank_account_id = driver.new_bank_account(user_id)
    withdrawal = driver.request_withdrawal(user_id, zar("50.00"), bank_account_id=bank_account_id)
    received: list[str] = []

    def request_arrives() -> bool:
        method, _, body = channel.basic_get(listening, auto_ack=True)
        if method is not None and withdrawal.id in body.decode():
            received.append(method.routing_key)
        return received != []

    with running(wallet, topology):
        eventually(request_arrives, within_seconds=30, what="the request")
    connection.close()
    assert received == ["wallet.withdrawal.requested.v1"]


def test_an_event_that_makes_no_sense_dies_at_once_and_stops_nothing(
    wallet: Wallet, driver: Driver, amqp_url: str, topology_of: Callable[..., Topology]
) -> None:
    topology = topology_of("wallet")
    publisher = ConfirmedPublisher(url=amqp_url, exchange=topology.exchange_name)
    connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
    channel = connection.channel()
    with running(wallet, topology):
        lost = {"transaction_id": new_id("txn"), "payout_id": "out_1"}
        publisher.publish([event_of("payments.payout.accepted.v1", lost)])
        eventually(
            lambda: channel.basic_get(topology.dead_queue, auto_ack=True)[0], what="a dead message"
        )
    publisher.close()
    connection.close()


def test_overdue_sagas_ring_and_nothing_is_released(
    settings: Settings, driver: Driver, wallet: Wallet
) -> None:
    user_id = driver.user_with("50.00")
    bank_account_id = driver.new_bank_account(user_id)
    withdrawal = driver.request_withdrawal(user_id, zar("50.00"), bank_account_id=bank_account_id)
    assert withdrawal.saga_step == "execute_payout"
    later = FixedClock(SystemClock().now() + timedelta(days=30))
    much_later = build(settings, clock=later, token_keys=wallet.token_keys)
    assert jobs.scan_sagas(much_later) >= 1
    labels = ("withdrawal", "pending", "execute_payout")
    assert jobs.SAGAS_OVERDUE.labels(*labels)._value.get() >= 1
    assert jobs.SAGA_OLDEST_AGE.labels(*labels)._value.get() > timedelta(days=29).total_seconds()
    assert driver.balance(user_id).held == zar("50.00")
    listed = "SELECT count(*) FROM open_sagas WHERE transaction_id = :id"
    jobs.forget_ended(much_later)
    assert driver.scalar(listed, id=withdrawal.id) == 1
    driver.fail_payout(withdrawal.id, zar("50.00"))
    assert jobs.forget_ended(much_later) >= 1
    assert driver.scalar(listed, id=withdrawal.id) == 0
    driver.pay(None, zar("1.00"), purchase_id=new_id("pur"))
    jobs.count_cases(much_later)
    assert jobs.CASES_OPEN.labels("unknown_transaction")._value.get() >= 1
    much_later.database.dispose()
