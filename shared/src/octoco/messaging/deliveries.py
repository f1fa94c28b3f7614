"""Deliveries in hand: what was fetched and not begun, and what may be begun next."""

import hashlib
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

ATTEMPT_HEADER: Final = "x-octoco-attempt"
REASON_HEADER: Final = "x-octoco-reason"
# The reason of a delivery in whose handling a process ended, without a word about why.
PROCESS_DIED: Final = "ProcessDied"
TYPE_HEADER: Final = "cloudEvents_type"
SUBJECT_HEADER: Final = "cloudEvents_subject"
# A count beyond this nobody of ours has written, and not every count can be written again.
ATTEMPT_MAX: Final = 1_000_000
BATCH_SIZE: Final = 100
# A batch of large bodies would keep its unit of work open for too long.
BATCH_BYTES_MAX: Final = 1_000_000


def text_of(value: object) -> str | None:
    """Return what a message says in a field, if it is text and not empty."""
    return value if isinstance(value, str) and value else None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message in hand."""

    tag: int
    properties: Any
    body: bytes
    redelivered: bool = False

    @property
    def attempt(self) -> int:
        """Which try this is, from 1; a header that is no number counts as none.

        A number that is too large to be true counts as a million, which is past every tier.
        """
        made = self._header(ATTEMPT_HEADER)
        return min(made, ATTEMPT_MAX) + 1 if isinstance(made, int) and made >= 0 else 1

    @property
    def event_type(self) -> str | None:
        """What its sender says it is; nothing of it is checked yet."""
        return text_of(self._header(TYPE_HEADER))

    @property
    def aggregate_id(self) -> str | None:
        """What its sender says it is about."""
        return text_of(self._header(SUBJECT_HEADER))

    @property
    def is_first_try(self) -> bool:
        """Whether nothing has gone wrong with it yet, as far as anybody knows."""
        return not self.redelivered and self.attempt == 1

    @property
    def is_suspect(self) -> bool:
        """Whether a process that had fetched it may have died of it.

        The flag is all that every RabbitMQ tells of this alike: `x-delivery-count` also counts
        what was fetched and never begun, and from 4.3 on means something else.
        """
        return self.redelivered or (text_of(self._header(REASON_HEADER)) or "").startswith(
            PROCESS_DIED
        )

    @property
    def key(self) -> str:
        """What it is known by at its next delivery, whatever its body is."""
        message_id = text_of(self.properties.message_id)
        return message_id or f"sha256:{hashlib.sha256(self.body).hexdigest()}"

    def _header(self, name: str) -> object:
        return (self.properties.headers or {}).get(name)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of a delivery: acked, or first published to a queue of ours."""

    result: str
    move_to: str | None = None
    reason: str = ""
    stack: str = ""

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do with the delivery but to ack it."""
        return self.move_to is None and self.result != "stopping"


Settle = Callable[[Sequence[tuple[Delivery, Verdict]]], None]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Where deliveries come from: one connection for as long as it lives.

    Args:
        settle: Carries out verdicts on deliveries that came from here.
        ended: Set when nothing more can be settled here, because the connection is gone or all
            is to stop: what is not begun comes again, to whomever.
    """

    settle: Settle
    ended: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class Hand:
    """What one thread handles next: one delivery, or several of one type in the order they came.

    Args:
        source: Where the deliveries came from.
        deliveries: At least one.
        is_turn: Whether it is this process's turn at the types that are handled in batches.
        is_suspect: Whether it is the one suspect that the process has in hand.
    """

    source: Source
    deliveries: list[Delivery]
    is_turn: bool
    is_suspect: bool = False
    aggregates: set[str] = field(default_factory=set)


class ReadyDeliveries:
    """The deliveries that were fetched and not begun, shared by the threads that handle them.

    They are begun in the order in which they came, with three exceptions that overtake nobody of
    the same aggregate: deliveries of a type that is handled in batches are begun by one thread at
    a time, so those behind them may pass; a batch takes what is ready of its type past others;
    and of those that a process may have died of, one is in hand at a time, so that it is plain
    whose fault it is if the process dies again.

    Args:
        batch_types: Event types that may be handled several at a time.
        batch_size: Most deliveries of one batch.
    """

    def __init__(self, *, batch_types: Collection[str] = (), batch_size: int = 1) -> None:
        self._batch_types = frozenset(batch_types)
        self._batch_size = batch_size
        self._waiting: list[tuple[Source, Delivery]] = []
        self._in_hand: set[str] = set()
        self._turn_taken = False
        self._suspect_taken = False
        self._ended = False
        self._changed = threading.Condition()

    def put(self, source: Source, delivery: Delivery) -> None:
        """Add a delivery that has just come."""
        with self._changed:
            self._waiting.append((source, delivery))
            self._changed.notify()

    def forget(self) -> None:
        """Drop what is not begun: its connection is gone, and the broker gives it again."""
        with self._changed:
            self._waiting.clear()

    def end(self) -> None:
        """Let every thread that waits here go; what is not begun stays with the broker."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @contextmanager
    def take(self) -> Iterator[Hand | None]:
        """Wait for something to handle, and hold it for the block; None when all is over."""
        with self._changed:
            while (hand := self._pick()) is None and not self._ended:
                self._changed.wait()
            if self._ended:
                hand = None
        try:
            yield hand
        finally:
            if hand is not None:
                self._give_back(hand)

    def top_up(self, hand: Hand) -> None:
        """Add to a batch what has become ready since it was taken."""
        with self._changed:
            self._gather(hand)

    def _give_back(self, hand: Hand) -> None:
        with self._changed:
            self._in_hand -= hand.aggregates
            if hand.is_turn:
                self._turn_taken = False
            if hand.is_suspect:
                self._suspect_taken = False
            self._changed.notify_all()

    def _pick(self) -> Hand | None:
        passed: set[str] = set()
        for place, (source, delivery) in enumerate(self._waiting):
            aggregate_id = delivery.aggregate_id
            # What had trouble before is handled by itself and keeps nobody waiting.
            of_batch = delivery.event_type in self._batch_types and delivery.is_first_try
            if (
                (of_batch and self._turn_taken)
                or (delivery.is_suspect and self._suspect_taken)
                or self._must_wait(aggregate_id, passed)
            ):
                if aggregate_id is not None:
                    passed.add(aggregate_id)
                continue
            del self._waiting[place]
            hand = Hand(source, [delivery], is_turn=of_batch, is_suspect=delivery.is_suspect)
            self._hold(hand, aggregate_id)
            self._suspect_taken = self._suspect_taken or hand.is_suspect
            if of_batch:
                self._turn_taken = True
                self._gather(hand)
            return hand
        return None

    def _must_wait(self, aggregate_id: str | None, passed: set[str]) -> bool:
        return aggregate_id is not None and (
            aggregate_id in passed or aggregate_id in self._in_hand
        )

    def _hold(self, hand: Hand, aggregate_id: str | None) -> None:
        if aggregate_id is not None:
            hand.aggregates.add(aggregate_id)
            self._in_hand.add(aggregate_id)

    def _gather(self, hand: Hand) -> None:
        """Move what may join a batch from what waits into the hand."""
        first = hand.deliveries[0]
        room = BATCH_BYTES_MAX - sum(len(delivery.body) for delivery in hand.deliveries)
        kept: list[tuple[Source, Delivery]] = []
        passed: set[str] = set()
        for source, delivery in self._waiting:
            aggregate_id = delivery.aggregate_id
            fits = (
                source is hand.source
                and delivery.event_type == first.event_type
                and delivery.is_first_try
                and len(hand.deliveries) < self._batch_size
                and len(delivery.body) <= room
                and aggregate_id not in passed
                and (aggregate_id not in self._in_hand or aggregate_id in hand.aggregates)
            )
            if fits:
                hand.deliveries.append(delivery)
                room -= len(delivery.body)
                self._hold(hand, aggregate_id)
            else:
                kept.append((source, delivery))
                if aggregate_id is not None:
                    passed.add(aggregate_id)
        self._waiting = kept
