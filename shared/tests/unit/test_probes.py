"""Probes are answered beside the consumer, which neither waits for it nor fails by it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pika
import pytest

from octoco.messaging.probes import (
    CONTENT_TYPE,
    NUMBER_MAX,
    PROBE_HEADER,
    QUEUE_HEADER,
    WAITING_MAX,
    ProbeAnswers,
    probe,
)
from octoco.testing import eventually


class Broker:
    """Makes connections; notes what is published, and when told to reads nothing at all."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, int, str]] = []
        self.reads = threading.Event()
        self.reads.set()
        self.breaks = 0
        self.opened = 0
        self.closed = 0
        self.is_open = True

    def connect(self) -> Any:
        self.opened += 1
        return self

    def channel(self) -> Any:
        return self

    def basic_publish(
        self, _exchange: str, queue: str, _body: bytes, properties: Any, *, mandatory: bool
    ) -> None:
        assert not mandatory, "nobody may wait for it any more"
        assert self.reads.wait(10)
        if self.breaks:
            self.breaks -= 1
            raise pika.exceptions.StreamLostError
        headers = properties.headers
        self.answers.append((queue, headers[PROBE_HEADER], headers[QUEUE_HEADER]))

    def close(self) -> None:
        self.closed += 1


@contextmanager
def answering(broker: Broker) -> Iterator[ProbeAnswers]:
    answers = ProbeAnswers(connect=broker.connect, service="wallet", queue="wallet.events")
    thread = threading.Thread(target=answers.run)
    thread.start()
    try:
        yield answers
    finally:
        answers.end()
        thread.join(10)
        assert not thread.is_alive()
    assert broker.closed == broker.opened


def test_probes_are_answered_in_their_order_on_one_connection() -> None:
    broker = Broker()
    with answering(broker) as answers:
        assert all(answers.take(probe(number, reply_to="asker")) for number in range(5))
        eventually(lambda: len(broker.answers) == 5, what="all answers")
    assert broker.answers == [("asker", number, "wallet.events") for number in range(5)]
    assert broker.opened == 1


def test_a_broker_that_reads_from_no_publisher_keeps_nobody_waiting() -> None:
    broker = Broker()
    broker.reads.clear()
    with answering(broker) as answers:
        # More than may wait: what is too much is given up.
        assert all(answers.take(probe(n, reply_to="asker")) for n in range(WAITING_MAX + 10))
        assert broker.answers == []
        broker.reads.set()
        eventually(lambda: len(broker.answers) >= WAITING_MAX, what="those that waited")


def test_an_answer_that_fails_keeps_no_other_from_going_out() -> None:
    broker = Broker()
    broker.breaks = 1
    with answering(broker) as answers:
        for number in (1, 2):
            answers.take(probe(number, reply_to="asker"))
        eventually(lambda: broker.answers == [("asker", 2, "wallet.events")], what="the other")


@pytest.mark.parametrize("number", [None, "q" * 130_950, -1, NUMBER_MAX + 1, 2**62, 1.5])
def test_a_number_that_nobody_of_us_gives_is_not_answered(number: Any) -> None:
    broker = Broker()
    with answering(broker) as answers:
        assert answers.take(probe(number, reply_to="asker"))
        assert answers.take(pika.BasicProperties(content_type=CONTENT_TYPE))
        assert answers.take(probe(7, reply_to="asker"))
        eventually(lambda: broker.answers, what="the one that can be answered")
    assert broker.answers == [("asker", 7, "wallet.events")]


def test_what_is_no_probe_is_left_to_others() -> None:
    answers = ProbeAnswers(connect=Broker().connect, service="wallet", queue="wallet.events")
    assert not answers.take(pika.BasicProperties(content_type="application/json"))
