"""The whole worker: events in from RabbitMQ, calls to the sandbox, events out to RabbitMQ."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pika
import pytest
from werkzeug.serving import make_server

from octoco.events import Event
from octoco.ids import new_id
from octoco.messaging.topology import Topology
from octoco.messaging.wire import from_properties, to_properties
from octoco.testing import eventually
from octoco.worker import Worker
from payments_gateway.bootstrap import Gateway, assemble, worker_parts
from payments_gateway.config import Settings
from payments_gateway.entrypoints.consumer import subscriptions
from payments_gateway.entrypoints.http import make_app

from .conftest import QUICK
from .people import TestKeys
from .sandbox import Sandbox


class Wallet:
    """The other side of the broker: says what the wallet says and hears what it hears.

    Args:
        amqp_url: The broker.
        topology: Whose exchange is used.
    """

    def __init__(self, amqp_url: str, topology: Topology) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(amqp_url))
        self._channel = self._connection.channel()
        self._exchange = topology.exchange_name
        self._channel.exchange_declare(self._exchange, exchange_type="topic", durable=True)
        self._queue = f"{topology.queue}.ears"
        self._channel.queue_declare(self._queue, durable=True, arguments={"x-queue-type": "quorum"})
        self._channel.queue_bind(self._queue, self._exchange, routing_key="payments.#")
        self.heard: list[Event] = []

    def say(self, event_type: str, about: str, *, times: int = 1, **data: object) -> None:
        event = Event(
            id=new_id("msg"),
            type=event_type,
            source="wallet",
            aggregate_id=about,
            occurred_at=datetime.now(UTC),
            data=data,
            correlation_id=new_id("cor"),
        )
        properties, body = to_properties(event)
        for _ in range(times):
            self._channel.basic_publish(self._exchange, event_type, body, properties)

    def hear(self, event_type: str) -> Event:
        """Wait for the first event of a type."""

        def heard() -> Event | None:
            self._listen()
            return next((event for event in self.heard if event.type == event_type), None)

        found = eventually(heard, within_seconds=30, what=event_type)
        assert isinstance(found, Event)
        return found

    def close(self) -> None:
        self._channel.queue_delete(self._queue)
        self._connection.close()

    def _listen(self) -> None:
        while True:
            method, properties, body = self._channel.basic_get(self._queue, auto_ack=True)
            if method is None:
                return
            self.heard.append(from_properties(properties, body))


@pytest.fixture
def topology(topology_of: Callable[..., Topology]) -> Topology:
    return topology_of("payments-gateway")


@pytest.fixture
def wallet(amqp_url: str, topology: Topology) -> Iterator[Wallet]:
    made = Wallet(amqp_url, topology)
    yield made
    made.close()


@pytest.fixture
def gateway_at_work(
    settings: Settings,
    amqp_url: str,
    topology: Topology,
    wallet: Wallet,
    web_port: int,
    token_keys: TestKeys,
) -> Iterator[Gateway]:
    gateway = assemble(replace(settings, amqp_url=amqp_url), policy=QUICK)
    server = make_server(
        "127.0.0.1", web_port, make_app(gateway, token_keys=token_keys), threaded=True
    )
    stop = threading.Event()
    worker = Worker(worker_parts(gateway, subscriptions=subscriptions(gateway), topology=topology))
    threads = [
        threading.Thread(target=server.serve_forever, daemon=True),
        threading.Thread(target=worker.run, args=(stop,), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        eventually(
            lambda: gateway.database.statement("SELECT 1 FROM webhook_registrations", {}),
            within_seconds=20,
            what="the registered webhook",
        )
        eventually(lambda: all(worker.readiness().values()), what="the worker's readiness")
        yield gateway
    finally:
        stop.set()
        server.shutdown()
        for thread in threads:
            thread.join(30)
        server.server_close()
        gateway.database.dispose()


def test_a_deposit_goes_from_event_to_event_whatever_comes_twice_or_too_early(
    gateway_at_work: Gateway, wallet: Wallet, sandbox: Sandbox
) -> None:
    transaction_id, user_id = new_id("txn"), new_id("usr")
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    money = {"amount": "250.00", "currency": "ZAR"}
    # The deposit comes before its user, and both come three times.
    wallet.say(
        "wallet.deposit.requested.v1",
        transaction_id,
        times=3,
        transaction_id=transaction_id,
        user_id=user_id,
        requested_at=now,
        **money,
    )
    wallet.say(
        "accounts.user.registered.v1",
        user_id,
        times=3,
        user_id=user_id,
        email="thandi@example.com",
        full_name="Thandi Nkosi",
        registered_at=now,
    )
    opened = wallet.hear("payments.checkout.opened.v1")
    sandbox.next("webhook", times=3, duplicates=2)
    sandbox.pay(opened.data["checkout_url"])
    paid = wallet.hear("payments.deposit.paid.v1")
    assert paid.data["transaction_id"] == transaction_id
    assert len(sandbox.results(f"purchases?reference={transaction_id}")) == 1

    wallet.say(
        "wallet.money_fact.answered.v1",
        transaction_id,
        fact_key=paid.data["fact_key"],
        outcome="credited",
        code=None,
        transaction_id=transaction_id,
        answered_at=now,
    )
    eventually(
        lambda: gateway_at_work.database.statement(
            "SELECT 1 FROM money_facts WHERE outcome = 'credited'", {}
        ),
        what="the wallet's answer",
    )
