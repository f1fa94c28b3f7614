"""Looking on: where every saga stands, asked once for all of them, and what others heard."""

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import pika.exceptions

from octoco.messaging.topology import Topology
from octoco.messaging.wire import from_properties
from octoco.testing import eventually

from .ground import Ground

LOOK_SECONDS = 0.25
_LOOK = """
    SELECT t.id, t.status, c.purchase_id, EXISTS (
        SELECT FROM payments_gateway.cases k
        WHERE k.transaction_id = t.id AND k.kind = 'payout_not_begun') AS waits_for_person
    FROM wallet.transactions t
    LEFT JOIN payments_gateway.checkouts c ON c.transaction_id = t.id
    WHERE t.id = ANY(%s)
"""


class Seen(NamedTuple):
    """Where a saga stands."""

    status: str
    purchase_id: str | None
    # Execution was marked begun by a process that died before, or as, it gave the order: it is
    # never given again, and the money stays held until a person has decided.
    waits_for_person: bool


NOTHING = Seen("unseen", None, waits_for_person=False)


class Watch:
    """Asks where the sagas stand that somebody waits for.

    Args:
        ground: Has the database.
        patience_seconds: After which one that has not ended has not ended.
    """

    def __init__(self, ground: Ground, *, patience_seconds: float) -> None:
        self._ground = ground
        self._patience_seconds = patience_seconds
        self._waited_for: set[str] = set()
        self._seen: dict[str, Seen] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(30)

    def seen(self, transaction_id: str) -> Seen:
        with self._lock:
            return self._seen.get(transaction_id, NOTHING)

    def purchase_of(self, transaction_id: str) -> str:
        with self._lock:
            self._waited_for.add(transaction_id)
        return eventually(
            lambda: self._unless_given_up(self.seen(transaction_id).purchase_id),
            within_seconds=self._patience_seconds,
            what=f"a purchase for {transaction_id}",
        )

    def until_ended(self, transaction_id: str, *, ends_as: str) -> None:
        """Wait until it has ended as it should, or waits for a person."""
        with self._lock:
            self._waited_for.add(transaction_id)

        def ended() -> bool:
            seen = self.seen(transaction_id)
            self._unless_given_up()
            return seen.status == ends_as or seen.waits_for_person

        try:
            eventually(ended, within_seconds=self._patience_seconds)
        except AssertionError as error:
            status = self.seen(transaction_id).status
            raise AssertionError(f"it stays {status} and never is {ends_as}") from error
        with self._lock:
            self._waited_for.discard(transaction_id)

    def give_up(self) -> None:
        """Let nobody wait any longer."""
        self._given_up.set()

    def _unless_given_up(self, found: str | None = None) -> str | None:
        assert not self._given_up.is_set(), "given up"
        return found

    @property
    def ended(self) -> int:
        with self._lock:
            return sum(seen.status in {"completed", "failed"} for seen in self._seen.values())

    def _look(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            with self._lock:
                wanted = list(self._waited_for)
            if not wanted:
                continue
            rows = self._ground.rows(_LOOK, (wanted,))
            with self._lock:
                for row in rows:
                    self._seen[row.id] = Seen(row.status, row.purchase_id, row.waits_for_person)


@dataclass(frozen=True)
class Heard:
    """A message that somebody else got."""

    message_id: str
    event_type: str
    aggregate_id: str
    data: Mapping[str, Any]


class Listener:
    """Stands for the services that do not run here: takes what is theirs, and keeps it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._heard: dict[str, list[Heard]] = defaultdict(list)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(30)

    def about(self, aggregate_id: str) -> Sequence[Heard]:
        return list(self._heard.get(aggregate_id, ()))

    def _listen(self) -> None:
        while not self._over.wait(0.3):
            try:
                with closing(self._ground.rabbitmq.connect()) as connection:
                    self._take(connection.channel())
            except (pika.exceptions.AMQPError, OSError):
                # The broker is one of those that are hurt.
                continue

    def _take(self, channel: Any) -> None:
        queue = Topology("notifications").queue
        for method, properties, body in channel.consume(queue, inactivity_timeout=0.3):
            if self._over.is_set():
                return
            if method is None:
                continue
            event = from_properties(properties, body)
            self._heard[event.aggregate_id].append(
                Heard(event.id, event.type, event.aggregate_id, event.data)
            )
            channel.basic_ack(method.delivery_tag)
