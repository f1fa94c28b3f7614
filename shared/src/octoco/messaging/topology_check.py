"""What is declared held against what the broker has, as far as AMQP lets anybody see.

Seen: whether exchange and queues exist; their type, durability and arguments, of which the broker
names the first that differs; who gets a key, by probes that running consumers answer.
Not seen: policies and operator policies, other people's queues and bindings where no consumer of
ours answers, bindings of a queue that nobody consumes, permissions, mirrors and leaders. What
shows these is `rabbitmqctl list_policies`, `list_bindings` and `list_queues`.
"""

import contextlib
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pika
import pika.exceptions

from octoco.messaging.overview import NOT_FOUND, queue_depth
from octoco.messaging.probes import PROBE_HEADER, QUEUE_HEADER, probe
from octoco.messaging.topology import Topology, declare_queue

ANSWER_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.1
_LATECOMERS_SECONDS: Final = 0.3
# No routing key: stands for the probe that goes to the queue itself.
_DIRECT: Final = ""
_PRECONDITION_FAILED: Final = 406
_INEQUIVALENT: Final = re.compile(
    r"inequivalent arg '(?P<argument>[^']*)' for .*: received (?P<declared>.*) "
    r"but current is (?P<current>.*)"
)


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check found.

    Args:
        differences: A line for each thing that is not as declared.
        unchecked: A line for each thing that could not be looked at, and why.
    """

    differences: Sequence[str]
    unchecked: Sequence[str]


class TopologyCheck:
    """Checks one service's part of the topology; nothing is changed by it.

    Args:
        connection: A blocking connection of a user that may configure.
        topology: As declared.
        listens_to: Event types that the service's queue is to get.
        known_types: All event types there are.
    """

    def __init__(
        self,
        *,
        connection: Any,
        topology: Topology,
        listens_to: Collection[str],
        known_types: Collection[str],
    ) -> None:
        self._connection = connection
        self._topology = topology
        self._listens_to = frozenset(listens_to)
        self._known_types = frozenset(known_types) | self._listens_to

    def run(self, *, with_probes: bool, answer_seconds: float = ANSWER_SECONDS) -> Findings:
        """Compare, and say what differs.

        Args:
            with_probes: Whether to ask consumers which keys they get: a probe for each event type
                is published, and each service that gets it answers.
            answer_seconds: How long to wait for answers that do not come.

        Raises:
            pika.exceptions.AMQPError: the broker is away.
        """
        differences = self._exchange() + self._queues()
        unchecked: list[str] = []
        if not with_probes:
            unchecked.append("bindings: not asked for")
        elif not any(line.startswith("exchange ") for line in differences):
            self._bindings(answer_seconds, differences, unchecked)
        return Findings(differences, unchecked)

    def _exchange(self) -> list[str]:
        name = self._topology.exchange_name
        return self._compare(
            f"exchange {name}",
            lambda channel: channel.exchange_declare(name, passive=True),
            self._topology.declare_exchange,
        )

    def _queues(self) -> list[str]:
        lines: list[str] = []
        for queue in self._topology.queues:

            def exists(channel: Any, name: str = queue.name) -> None:
                channel.queue_declare(name, passive=True)

            def declare(channel: Any, queue: Any = queue) -> None:
                declare_queue(channel, queue)

            lines += self._compare(f"queue {queue.name}", exists, declare)
        return lines

    def _compare(
        self, what: str, exists: Callable[[Any], object], declare: Callable[[Any], object]
    ) -> list[str]:
        """Declare again what exists, which changes nothing, and hear how the broker refuses."""
        for ask in (exists, declare):
            channel = self._connection.channel()
            try:
                ask(channel)
            except pika.exceptions.ChannelClosedByBroker as error:
                return [f"{what}: {refusal_of(error)}"]
            channel.close()
        return []

    def _bindings(
        self, answer_seconds: float, differences: list[str], unchecked: list[str]
    ) -> None:
        exchange, queue = self._topology.exchange_name, self._topology.queue
        if not queue_depth(self._connection, queue).consumers:
            unchecked.append(f"bindings of {queue}: nobody consumes it, so nobody answers")
            return
        answers = self._ask_all(answer_seconds)
        if queue not in answers.queues_of(_DIRECT):
            waiting = queue_depth(self._connection, queue).messages
            unchecked.append(
                f"bindings of {queue}: its consumer has not answered within {answer_seconds:g} s; "
                f"{waiting} messages wait there"
            )
            return
        ours = answers.keys_of(queue)
        differences += [
            f"binding {exchange} -> {queue}: {key}: missing"
            for key in sorted(self._listens_to - ours)
        ]
        differences += [
            f"binding {exchange} -> {queue}: {key}: not declared"
            for key in sorted(ours & self._known_types - self._listens_to)
        ]
        if wild := sorted(answers.taken - self._known_types, key=lambda key: (key.count("."), key)):
            who = {name for key in wild for name in answers.queues_of(key)}
            differences.append(
                f"exchange {exchange}: {', '.join(sorted(who)) or 'a queue that does not answer'} "
                f"takes keys that no event has, such as {wild[0]}: what nobody listens to is not "
                "returned"
            )

    def _ask_all(self, answer_seconds: float) -> "_Answers":
        """Publish a probe for each key, and gather who answers.

        Last comes one that goes to our queue directly: with its answer all that went there before
        it has been answered.
        """
        nonce = secrets.token_hex(8)
        keys = [
            *sorted(self._known_types),
            *(f"{area}.{nonce}" for area in ["octoco", *self._areas()]),
        ]
        answers = _Answers()
        channel = self._connection.channel()
        channel.confirm_delivery()
        reply_to = channel.queue_declare("", exclusive=True).method.queue

        def _on_answer(_channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
            headers = properties.headers or {}
            number, queue = headers.get(PROBE_HEADER), headers.get(QUEUE_HEADER)
            if isinstance(number, int) and isinstance(queue, str) and 0 <= number <= len(keys):
                answers.queues[[*keys, _DIRECT][number]].add(queue)

        def ask(exchange: str, key: str, number: int) -> None:
            properties = probe(number, reply_to=reply_to)
            with contextlib.suppress(pika.exceptions.UnroutableError):
                channel.basic_publish(exchange, key, b"", properties, mandatory=True)
                answers.taken.add(key)

        channel.basic_consume(reply_to, _on_answer, auto_ack=True)
        for number, key in enumerate(keys):
            ask(self._topology.exchange_name, key, number)
        ask("", self._topology.queue, len(keys))
        answers.taken.discard(self._topology.queue)
        deadline = time.monotonic() + answer_seconds
        while time.monotonic() < deadline and not answers.queues_of(_DIRECT):
            self._connection.process_data_events(time_limit=_POLL_SECONDS)
        # Others may be a moment slower, and so may a second consumer of ours.
        self._connection.sleep(_LATECOMERS_SECONDS)
        channel.close()
        return answers

    def _areas(self) -> list[str]:
        """Every beginning of a known type, which a binding with a wildcard may stand for."""
        beginnings = {
            ".".join(words[:length])
            for words in (event_type.split(".") for event_type in self._known_types)
            for length in range(1, len(words))
        }
        return sorted(beginnings, key=lambda beginning: (beginning.count("."), beginning))


@dataclass(slots=True)
class _Answers:
    taken: set[str] = field(default_factory=set)
    queues: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def keys_of(self, queue: str) -> set[str]:
        return {key for key, queues in self.queues.items() if queue in queues}

    def queues_of(self, key: str) -> Collection[str]:
        return self.queues.get(key, set())


def refusal_of(error: pika.exceptions.ChannelClosedByBroker) -> str:
    """Return in a few words what the broker would not declare, or has not got."""
    if error.reply_code == NOT_FOUND:
        return "missing"
    found = _INEQUIVALENT.search(error.reply_text)
    if error.reply_code == _PRECONDITION_FAILED and found:
        declared, current = (_value(found[name]) for name in ("declared", "current"))
        return f"{found['argument']} is {current}, declared is {declared}"
    return str(error.reply_text)


def _value(text: str) -> str:
    """Return `5` for `the value '5' of type 'signedint'`, for `'5'` and for `5`."""
    quoted = re.search(r"'([^']*)'", text)
    if quoted is None:
        return text
    return quoted[1] or "empty"


def as_facts(findings: Findings) -> Mapping[str, Sequence[str]]:
    """Return findings as JSON-ready values."""
    return {
        "differences": list(findings.differences),
        "unchecked": list(findings.unchecked),
    }
