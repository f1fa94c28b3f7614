"""What is declared held against what the broker has, as far as AMQP lets anybody see.

Seen: whether exchange and queues exist; their type, durability and arguments, of which the broker
names the first that differs; who gets a key, by probes that running consumers answer.
Not seen: policies and operator policies, other people's queues and bindings where no consumer of
ours answers, bindings of a queue that nobody consumes, permissions, mirrors and leaders. What
shows these is `rabbitmqctl list_policies`, `list_bindings` and `list_queues`.
"""

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
        exchange_is_there = not any(line.startswith("exchange ") for line in differences)
        if not with_probes:
            unchecked.append("bindings: not asked for")
        elif exchange_is_there:
            answers = self._ask_all(answer_seconds)
            differences += self._bindings(answers, unchecked)
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

    def _bindings(self, answers: "_Answers", unchecked: list[str]) -> list[str]:
        lines: list[str] = []
        queue = self._topology.queue
        ours = answers.keys_of(queue)
        depth = queue_depth(self._connection, queue)
        missing = sorted(self._listens_to - ours)
        if depth.consumers:
            waiting = f"; {depth.messages} messages wait there" if depth.messages else ""
            lines += [
                f"binding {self._topology.exchange_name} -> {queue}: {key}: missing, or its "
                f"consumer does not answer{waiting}"
                for key in missing
            ]
        elif missing:
            unchecked.append(f"bindings of {queue}: nobody consumes it, so nobody answers")
        lines += [
            f"binding {self._topology.exchange_name} -> {queue}: {key}: not declared"
            for key in sorted(ours - self._listens_to)
        ]
        for key in sorted(answers.taken & answers.invented):
            who = ", ".join(sorted(answers.queues_of(key))) or "a queue that does not answer"
            lines.append(
                f"exchange {self._topology.exchange_name}: {who} takes keys that no event has "
                f"({key}), so what nobody listens to is not returned"
            )
        return lines

    def _ask_all(self, answer_seconds: float) -> "_Answers":
        """Publish a probe for each key, and gather who answers."""
        nonce = secrets.token_hex(8)
        invented = {f"octoco.probe.{nonce}", *(f"{area}.{nonce}" for area in self._areas())}
        keys = [*sorted(self._known_types), *sorted(invented)]
        answers = _Answers(invented=frozenset(invented))
        channel = self._connection.channel()
        channel.confirm_delivery()
        reply_to = channel.queue_declare("", exclusive=True).method.queue

        def on_answer(_channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
            headers = properties.headers or {}
            number, queue = headers.get(PROBE_HEADER), headers.get(QUEUE_HEADER)
            if isinstance(number, int) and number < len(keys) and isinstance(queue, str):
                answers.queues[keys[number]].add(queue)

        channel.basic_consume(reply_to, on_answer, auto_ack=True)
        for number, key in enumerate(keys):
            try:
                channel.basic_publish(
                    self._topology.exchange_name,
                    key,
                    b"",
                    probe(number, reply_to=reply_to),
                    mandatory=True,
                )
            except pika.exceptions.UnroutableError:
                continue
            answers.taken.add(key)
        deadline = time.monotonic() + answer_seconds
        while time.monotonic() < deadline and not self._is_complete(answers):
            self._connection.process_data_events(time_limit=_POLL_SECONDS)
        channel.close()
        return answers

    def _is_complete(self, answers: "_Answers") -> bool:
        # An answer for every key that somebody took, and ours for all that we listen to.
        return answers.taken <= set(answers.queues) and self._listens_to <= answers.keys_of(
            self._topology.queue
        )

    def _areas(self) -> set[str]:
        """Every beginning of a known type, which a binding with a wildcard may stand for."""
        return {
            ".".join(words[:length])
            for words in (event_type.split(".") for event_type in self._known_types)
            for length in range(1, len(words))
        }


@dataclass(slots=True)
class _Answers:
    invented: frozenset[str]
    taken: set[str] = field(default_factory=set)
    queues: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def keys_of(self, queue: str) -> set[str]:
        return {key for key, queues in self.queues.items() if queue in queues} - self.invented

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
