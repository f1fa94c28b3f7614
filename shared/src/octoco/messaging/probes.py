"""Probes: messages that ask who gets them, which AMQP itself tells nobody.

A consumer answers a probe at once and acks it; it is no event, has no effect and leaves no trace.
"""

from typing import Any, Final

import pika

PROBE_HEADER: Final = "x-octoco-probe"
SERVICE_HEADER: Final = "x-octoco-service"
QUEUE_HEADER: Final = "x-octoco-queue"
CONTENT_TYPE: Final = "application/vnd.octoco.probe"


def probe(number: int, *, reply_to: str) -> pika.BasicProperties:
    """Return the properties of a probe; it has no body.

    Args:
        number: By which its answers are told apart.
        reply_to: The queue that answers go to.
    """
    return pika.BasicProperties(
        content_type=CONTENT_TYPE, reply_to=reply_to, headers={PROBE_HEADER: number}
    )


def answer_probe(
    channel: Any, method: Any, properties: pika.BasicProperties, *, service: str, queue: str
) -> bool:
    """Answer and ack a delivery if it is a probe.

    Nobody may wait for the answer any more; then it goes nowhere.

    Args:
        channel: That it came by, in its own thread.
        method: Of the delivery.
        properties: Of the delivery.
        service: Who answers.
        queue: That it came from.

    Returns:
        Whether it was a probe, with which nothing else is to be done.
    """
    if properties.content_type != CONTENT_TYPE:
        return False
    if properties.reply_to:
        number = (properties.headers or {}).get(PROBE_HEADER)
        answer = pika.BasicProperties(
            content_type=CONTENT_TYPE,
            headers={PROBE_HEADER: number, SERVICE_HEADER: service, QUEUE_HEADER: queue},
        )
        channel.basic_publish("", properties.reply_to, b"", answer, mandatory=False)
    channel.basic_ack(method.delivery_tag)
    return True
