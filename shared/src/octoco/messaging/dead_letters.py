"""The dead queue as operators see it: looked at, replayed and discarded on a live system."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import pika
import pika.exceptions

from octoco.database.engine import Database
from octoco.errors import Unavailable
from octoco.messaging.deliveries import (
    ATTEMPT_HEADER,
    ATTEMPT_MAX,
    REASON_HEADER,
    TYPE_HEADER,
    text_of,
)
from octoco.messaging.discarded import DiscardedMessages
from octoco.messaging.failures import (
    FAILED_AT_HEADER,
    FIRST_FAILED_AT_HEADER,
    REPLAYED_HEADER,
    STACK_HEADER,
    history_of,
    own_headers,
)
from octoco.messaging.scan import QueueScan, Scanned
from octoco.messaging.topology import Topology
from octoco.messaging.wire import PERSISTENT

# One at a time looks at dead messages, or each would see what the others do not hold.
TURN: Final = "dead_letters"
TURN_SECONDS: Final = 10.0
# The broker lets nobody keep messages for longer without an ack.
LOOK_SECONDS_MAX: Final = 1800.0
_CAUSATION_HEADER: Final = "cloudEvents_causationid"
_CORRELATION_HEADER: Final = "cloudEvents_correlationid"
_DIGEST_CHARACTERS: Final = 16


class DeadLettersBusy(Unavailable):
    """Somebody else looks at the dead messages of this service."""

    code = "dead_letters_busy"


class ReplayRefused(Exception):
    """The broker did not take a copy; the dead message is where it was."""


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """What a dead message says of itself; all but its id and its body may be missing.

    Args:
        id: Its message id, or `sha256:…` of its body if it has none. Copies share it.
        event_type: What it says it is.
        reason: Why it died.
        stack: Where, if a bug was the reason.
        failed_at: When its last try failed, UTC.
        first_failed_at: When its first try failed, UTC.
        attempt: Which try was the last.
        replayed: How often an operator has replayed it.
        correlation_id: Of what it belongs to.
        causation_id: The message that caused it.
        history: Its failures: `at`, `attempt` and `reason`, newest last.
        headers: As they came.
        body: As it came.
    """

    id: str
    event_type: str | None
    reason: str | None
    stack: str | None
    failed_at: datetime | None
    first_failed_at: datetime | None
    attempt: int | None
    replayed: int
    correlation_id: str | None
    causation_id: str | None
    history: Sequence[Mapping[str, Any]]
    headers: Mapping[str, Any] = field(repr=False)
    body: bytes = field(repr=False)

    def without_body(self) -> "DeadMessage":
        """Return the same without its body, which many of them would fill the memory with."""
        return replace(self, body=b"")


def read_dead_message(properties: pika.BasicProperties, body: bytes) -> DeadMessage:
    """Read what there is to read; nothing that a message holds is an error here."""
    headers: Mapping[str, Any] = properties.headers or {}
    deaths = _deaths(headers)
    return DeadMessage(
        id=properties.message_id or f"sha256:{_digest(body)[:_DIGEST_CHARACTERS]}",
        event_type=text_of(headers.get(TYPE_HEADER)) or text_of(properties.type),
        reason=text_of(headers.get(REASON_HEADER)) or _reason_of_the_broker(deaths),
        stack=text_of(headers.get(STACK_HEADER)),
        failed_at=_instant(headers.get(FAILED_AT_HEADER)) or _instant(deaths.get("time")),
        first_failed_at=_instant(headers.get(FIRST_FAILED_AT_HEADER)),
        attempt=_number(headers.get(ATTEMPT_HEADER)),
        replayed=_number(headers.get(REPLAYED_HEADER)) or 0,
        correlation_id=text_of(headers.get(_CORRELATION_HEADER))
        or text_of(properties.correlation_id),
        causation_id=text_of(headers.get(_CAUSATION_HEADER)),
        history=history_of(headers),
        headers=headers,
        body=body,
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead messages are meant: those that fit everything that is said.

    Args:
        ids: One of these; None for any.
        event_type: Exactly this one; None for any.
        reason: Part of the reason, in any case of letters; None for any.
        since: Died then or later; what does not say when it died does not fit. None for any.
    """

    ids: frozenset[str] | None = None
    event_type: str | None = None
    reason: str | None = None
    since: datetime | None = None

    def fits(self, message: DeadMessage) -> bool:
        """Whether a message is meant."""
        return (
            (self.ids is None or message.id in self.ids)
            and (self.event_type is None or message.event_type == self.event_type)
            and (self.reason is None or self.reason.lower() in (message.reason or "").lower())
            and (
                self.since is None
                or (message.failed_at is not None and message.failed_at >= self.since)
            )
        )


class DeadLetters:
    """The dead messages of one service.

    One at a time works on them, under a turn that the service's commands and workers share.

    Args:
        connection: A blocking connection, used by nobody else meanwhile.
        topology: Names the queues.
        database: Of the service's own role.
        turn_seconds: How long to wait for the turn.
    """

    def __init__(
        self,
        *,
        connection: Any,
        topology: Topology,
        database: Database,
        turn_seconds: float = TURN_SECONDS,
    ) -> None:
        self._connection = connection
        self._topology = topology
        self._database = database
        self._turn_seconds = turn_seconds

    @contextmanager
    def look(self) -> Iterator[Iterator[DeadMessage]]:
        """Yield the dead messages, oldest first; all of them stay, in their order.

        However few are looked at, all of them are fetched: it is no way to measure.

        Raises:
            DeadLettersBusy: others were at it for all of the waiting.
            Unavailable: the database is away.
            pika.exceptions.AMQPError: the broker is away, or has no such queue.
        """
        with self._scan() as scan:
            yield (
                read_dead_message(scanned.properties, scanned.body) for scanned in scan.messages()
            )

    def replay(self, wanted: Wanted, *, on_looked: Callable[[DeadMessage, bool], None]) -> None:
        """Send copies to the service's own queue, and take each message out when it is there.

        Whatever breaks in between leaves the message dead and its copy sent; replaying it again
        is harmless, as the inbox knows what was handled. Only what is dead at the beginning is
        looked at, so what dies again is not replayed again.

        Args:
            wanted: Which ones.
            on_looked: Called for each message, with whether it was replayed, when it was.

        Raises:
            ReplayRefused: the service's queue is missing or refuses.
            DeadLettersBusy: see `look`, as the others.
        """
        publishing = self._connection.channel()
        publishing.confirm_delivery()
        with self._scan() as scan:
            for scanned in scan.messages():
                message = read_dead_message(scanned.properties, scanned.body)
                is_meant = wanted.fits(message)
                if is_meant:
                    self._send_copy(publishing, message, scanned)
                    scanned.take_out()
                on_looked(message, is_meant)

    def discard(
        self,
        wanted: Wanted,
        *,
        discarded: DiscardedMessages,
        reason: str,
        by: str,
        on_looked: Callable[[DeadMessage, bool], None],
    ) -> None:
        """Keep messages in the database with who discarded them and why, and take them out.

        A crash in between leaves the message dead and kept; discarding it again only takes it out.

        Args:
            wanted: Which ones.
            discarded: Where they are kept.
            reason: Why, in an operator's words.
            by: Who.
            on_looked: Called for each message, with whether it was discarded, when it was.

        Raises:
            DeadLettersBusy: see `look`, as the others.
        """
        with self._scan() as scan:
            for scanned in scan.messages():
                message = read_dead_message(scanned.properties, scanned.body)
                is_meant = wanted.fits(message)
                if is_meant:
                    discarded.keep(
                        message_id=message.id,
                        event_type=message.event_type,
                        headers=message.headers,
                        body=message.body,
                        reason=reason,
                        by=by,
                    )
                    scanned.take_out()
                on_looked(message, is_meant)

    def oldest_age_seconds(self, *, now: datetime | None = None) -> float | None:
        """Return for how long the oldest dead message has been dead.

        Args:
            now: Timezone-aware; None is this instant.

        Returns:
            None if there is none, or if it does not say when it died.

        Raises:
            DeadLettersBusy: see `look`, as the others.
        """
        with self.look() as messages:
            oldest = next(messages, None)
        if oldest is None or oldest.failed_at is None:
            return None
        return max(0.0, ((now or datetime.now(UTC)) - oldest.failed_at).total_seconds())

    def depth(self) -> int:
        """Return how many dead messages there are.

        Raises:
            pika.exceptions.AMQPError: the broker is away, or has no such queue.
        """
        return QueueScan(self._connection, self._topology.dead_queue).depth()

    @contextmanager
    def _scan(self) -> Iterator[QueueScan]:
        with self._database.turn(
            TURN, wait_seconds=self._turn_seconds, seconds_max=LOOK_SECONDS_MAX
        ) as is_ours:
            if not is_ours:
                raise DeadLettersBusy(
                    f"Somebody else is at the dead messages of {self._topology.service}; "
                    "please try again."
                )
            with QueueScan(self._connection, self._topology.dead_queue) as scan:
                yield scan

    def _send_copy(self, channel: Any, message: DeadMessage, scanned: Scanned) -> None:
        original = scanned.properties
        headers = own_headers(original.headers)
        headers |= {ATTEMPT_HEADER: 0, REPLAYED_HEADER: message.replayed + 1}
        copy = pika.BasicProperties(
            content_type=original.content_type,
            content_encoding=original.content_encoding,
            delivery_mode=PERSISTENT,
            message_id=original.message_id,
            correlation_id=original.correlation_id,
            type=original.type,
            headers=headers,
        )
        try:
            channel.basic_publish("", self._topology.queue, scanned.body, copy, mandatory=True)
        except pika.exceptions.UnroutableError as error:
            raise ReplayRefused(f"there is no queue {self._topology.queue}") from error
        except pika.exceptions.NackError as error:
            raise ReplayRefused(f"{self._topology.queue} takes no more") from error


def _deaths(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the newest of the deaths that the broker has noted, empty if it has noted none."""
    found = headers.get("x-death")
    newest = found[0] if isinstance(found, list) and found else None
    return newest if isinstance(newest, dict) else {}


def _reason_of_the_broker(death: Mapping[str, Any]) -> str | None:
    reason, queue = text_of(death.get("reason")), text_of(death.get("queue"))
    return f"RabbitMQ: {reason} in {queue}" if reason else None


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _number(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    # What is too large to be true could not all be written into a copy.
    return max(0, min(int(value), ATTEMPT_MAX))


def _instant(value: object) -> datetime | None:
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if not isinstance(value, datetime):
            return None
        # AMQP's timestamps are UTC and do not say so.
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
