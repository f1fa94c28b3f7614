"""Probes: messages that ask who gets them, which AMQP itself tells nobody.

A consumer answers a probe at once and acks it; it is no event, has no effect and leaves no trace.
"""

import math
import threading
import time
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import Final

import pika
import structlog

from octoco.messaging.connecting import Connect

PROBE_HEADER: Final = "x-octoco-probe"
SERVICE_HEADER: Final = "x-octoco-service"
QUEUE_HEADER: Final = "x-octoco-queue"
CONTENT_TYPE: Final = "application/vnd.octoco.probe"
# Answers that wait, and the largest number: a probe is sent for each event type.
WAITING_MAX: Final = 1000
NUMBER_MAX: Final = 65_535
POLL_SECONDS: Final = 0.2
IDLE_SECONDS: Final = 1.0

# Where an answer goes, and to which probe it is one.
_Answer = tuple[str, int]


def probe(number: int, *, reply_to: str) -> pika.BasicProperties:
    """Return the properties of a probe; it has no body.

    Args:
        number: By which its answers are told apart.
        reply_to: The queue that answers go to.
    """
    return pika.BasicProperties(
        content_type=CONTENT_TYPE, reply_to=reply_to, headers={PROBE_HEADER: number}
    )


class ProbeAnswers:
    """Answers probes on a connection of its own, as well as it can.

    Of its own, because a broker that runs short of memory or disk stops reading from whoever
    publishes: an answer on the consumer's connection would stop all acks. Answers go out in the
    order of their probes; nobody may wait for them any more, and then they go nowhere.

    Args:
        connect: Makes the connection; there is none while there is nothing to answer.
        service: Who answers.
        queue: That probes come from.
    """

    def __init__(self, *, connect: Connect, service: str, queue: str) -> None:
        self._connect = connect
        self._service = service
        self._queue = queue
        self._waiting: Queue[_Answer] = Queue(WAITING_MAX)
        self._ended = threading.Event()
        self._log = structlog.get_logger("octoco.probes")

    def take(self, properties: pika.BasicProperties) -> bool:
        """Have a delivery answered, in time, if it is a probe that can be; returns at once.

        Returns:
            Whether it was a probe; then it is to be acked, and nothing else done with it.
        """
        if properties.content_type != CONTENT_TYPE:
            return False
        reply_to, number = properties.reply_to, (properties.headers or {}).get(PROBE_HEADER)
        # Whoever may publish may send anything, also what cannot be written back.
        if isinstance(reply_to, str) and isinstance(number, int) and 0 <= number <= NUMBER_MAX:
            with suppress(Full):
                self._waiting.put_nowait((reply_to, number))
        return True

    def run(self) -> None:
        """Answer what was taken, until the end."""
        while (first := self._next()) is not None:
            try:
                self._answer_all(first)
            except Exception as error:  # noqa: BLE001 - the next one is answered all the same
                self._log.warning("probes_not_answered", error=type(error).__name__)

    def end(self) -> None:
        """Let the thread that runs this go; what is not answered is given up."""
        self._ended.set()

    def _answer_all(self, first: "_Answer") -> None:
        connection = self._connect()
        try:
            channel = connection.channel()
            answer: _Answer | None = first
            while answer is not None:
                reply_to, number = answer
                headers = {
                    PROBE_HEADER: number,
                    SERVICE_HEADER: self._service,
                    QUEUE_HEADER: self._queue,
                }
                properties = pika.BasicProperties(content_type=CONTENT_TYPE, headers=headers)
                channel.basic_publish("", reply_to, b"", properties, mandatory=False)
                answer = self._next(until=time.monotonic() + IDLE_SECONDS)
        finally:
            if connection.is_open:
                connection.close()

    def _next(self, *, until: float = math.inf) -> "_Answer | None":
        """Return the next answer; None if it is the end, or there was none until then."""
        while not self._ended.is_set() and time.monotonic() < until:
            with suppress(Empty):
                return self._waiting.get(timeout=POLL_SECONDS)
        return None
