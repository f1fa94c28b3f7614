"""The relay: one leader per service carries outbox rows to the broker, in order, confirmed."""

import threading
import time
from collections.abc import Sequence
from typing import Final

import structlog

from octoco.messaging.ports import BrokerUnavailable, Fate, Publisher
from octoco.outbox.ports import OutboxStore, OutboxUnavailable, StoredEvent
from octoco.telemetry.metrics import (
    OUTBOX_OLDEST_AGE,
    OUTBOX_WAITING,
    RELAY_LEADER,
    RELAY_PUBLISHED,
)

BATCH: Final = 500
POLL_SECONDS: Final = 0.5
LEADER_RETRY_SECONDS: Final = 1.0
HOLD_BACK_SECONDS: Final = 5.0


class Relay:
    """Publishes what the outbox holds and deletes what is confirmed.

    There is no cursor: a row that commits late is simply found by the next read. A message that
    is returned or refused stays, holds back its own aggregate, and is tried again. Only one
    message of an aggregate is in flight at a time, so a held-back one is never overtaken.

    Args:
        store: The outbox and its leader's lock.
        publisher: Where the messages go.
    """

    def __init__(self, store: OutboxStore, publisher: Publisher) -> None:
        self._store = store
        self._publisher = publisher
        self._wake = threading.Event()
        self._held_back: dict[str, float] = {}
        self._log = structlog.get_logger("octoco.relay")

    def wake(self) -> None:
        """Say that there may be something to publish."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Lead or wait to lead until `stop` is set; the batch in hand is finished first."""
        while not stop.is_set():
            try:
                self._lead(stop)
            except OutboxUnavailable as error:
                self._log.warning("relay_lost_database", error=error.message)
            finally:
                RELAY_LEADER.set(0)
                self._store.close()
            stop.wait(LEADER_RETRY_SECONDS)
        self._publisher.close()

    def relay_once(self) -> int:
        """Publish one batch, at most one message of each aggregate.

        Returns:
            How many messages were confirmed and deleted.

        Raises:
            OutboxUnavailable: the lead is lost; what was confirmed may be published again.
            BrokerUnavailable: the broker is away; nothing was deleted.
        """
        heads = _first_of_each_aggregate(self._read())
        fates = self._publisher.publish([stored.event for stored in heads])
        confirmed = []
        for stored, fate in zip(heads, fates, strict=True):
            RELAY_PUBLISHED.labels(fate=fate.value).inc()
            if fate is Fate.CONFIRMED:
                confirmed.append(stored.id)
            else:
                self._hold_back(stored, fate)
        if confirmed:
            self._store.delete(confirmed)
        return len(confirmed)

    def _lead(self, stop: threading.Event) -> None:
        while not stop.is_set() and not self._store.lead():
            stop.wait(LEADER_RETRY_SECONDS)
        while not stop.is_set():
            RELAY_LEADER.set(1)
            try:
                published = self.relay_once()
            except BrokerUnavailable as error:
                self._log.warning("relay_waits_for_broker", error=error.message)
                published = 0
                stop.wait(LEADER_RETRY_SECONDS)
            self._measure()
            if not published:
                self._wake.wait(POLL_SECONDS)
                self._wake.clear()

    def _read(self) -> Sequence[StoredEvent]:
        now = time.monotonic()
        self._held_back = {name: until for name, until in self._held_back.items() if until > now}
        return self._store.read(held_back=list(self._held_back), limit=BATCH)

    def _hold_back(self, stored: StoredEvent, fate: Fate) -> None:
        self._held_back[stored.event.aggregate_id] = time.monotonic() + HOLD_BACK_SECONDS
        self._log.error(
            "message_held_back",
            fate=fate.value,
            event_type=stored.event.type,
            message_id=stored.event.id,
            aggregate_id=stored.event.aggregate_id,
        )

    def _measure(self) -> None:
        size = self._store.measure()
        OUTBOX_WAITING.set(size.waiting)
        OUTBOX_OLDEST_AGE.set(size.oldest_age_seconds)


def _first_of_each_aggregate(waiting: Sequence[StoredEvent]) -> list[StoredEvent]:
    heads: dict[str, StoredEvent] = {}
    for stored in waiting:
        heads.setdefault(stored.event.aggregate_id, stored)
    return list(heads.values())
