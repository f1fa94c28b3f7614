"""The relay: one leader per service carries outbox rows to the broker, in order, confirmed."""

import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from octoco.messaging.ports import BrokerUnavailable, Fate, Publisher
from octoco.outbox.held_back import HeldBack
from octoco.outbox.ports import OutboxStore, OutboxUnavailable, StoredEvent
from octoco.telemetry.metrics import (
    OUTBOX_OLDEST_AGE,
    OUTBOX_WAITING,
    RELAY_HELD_BACK,
    RELAY_LEADER,
    RELAY_PUBLISHED,
)

BATCH: Final = 500
# Messages of one aggregate go one after another, a round trip to the broker each: more of them in
# one batch would make all others wait for it.
CHAIN: Final = 16
TOP_UPS: Final = 3
POLL_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 1.0
MEASURE_SECONDS: Final = 5.0
FINISH_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Round:
    confirmed: int
    may_be_more: bool


class Relay:
    """Publishes what the outbox holds and deletes what is confirmed.

    There is no cursor: a row that commits late is simply found by the next read. A message that
    is returned or refused stays, holds back its own aggregate, and is tried again. Only one
    message of an aggregate is in flight at a time, so a held-back one is never overtaken.

    While two believe that they lead, both read in the order of ids and both wait for each
    confirm, so that what arrives twice still arrives first in order.

    Args:
        store: The outbox and its leader's lock.
        publisher: Where the messages go.
    """

    def __init__(self, store: OutboxStore, publisher: Publisher) -> None:
        self._store = store
        self._publisher = publisher
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._finish_by: float | None = None
        self._held_back = HeldBack()
        self._measured_at = 0.0
        self._broker_is_away = False
        self._log = structlog.get_logger("octoco.relay")

    def wake(self) -> None:
        """Say that there may be something to publish."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Lead or wait to lead until `stop` is set.

        The batch in hand is finished first, if the broker confirms it within `FINISH_SECONDS`;
        what is not confirmed stays in the outbox.
        """
        self._stop = stop
        while not stop.is_set():
            try:
                self._lead()
            except OutboxUnavailable as error:
                self._log.warning("relay_lost_database", error=error.message)
            finally:
                self._resign()
            stop.wait(RETRY_SECONDS)
        self._publisher.close()

    def relay_once(self) -> int:
        """Publish one batch; the lead must be held.

        Returns:
            How many messages were confirmed and deleted.

        Raises:
            OutboxUnavailable: the lead is lost; what was confirmed may be published again.
            BrokerUnavailable: the broker is away; nothing was deleted.
        """
        return self._relay().confirmed

    def _lead(self) -> None:
        while not self._stop.is_set() and not self._store.lead():
            # Where nobody leads, these figures are all that tells it.
            self._measure_if_due()
            self._stop.wait(RETRY_SECONDS)
        while not self._stop.is_set():
            RELAY_LEADER.set(1)
            try:
                done = self._relay()
            except BrokerUnavailable as error:
                self._say_once_that_broker_is_away(error)
                done = _Round(0, may_be_more=False)
                self._stop.wait(RETRY_SECONDS)
            self._measure_if_due()
            if not done.confirmed and not done.may_be_more:
                self._wake.wait(POLL_SECONDS)
                self._wake.clear()

    def _resign(self) -> None:
        self._store.close()
        self._held_back = HeldBack()
        for gauge in (RELAY_LEADER, OUTBOX_WAITING, OUTBOX_OLDEST_AGE, RELAY_HELD_BACK):
            gauge.set(0)
        self._measured_at = 0.0

    def _relay(self) -> _Round:
        batch, may_be_more = self._read()
        fates = self._publisher.publish([stored.event for stored in batch], may_wait=self._may_wait)
        self._broker_is_away = False
        confirmed = []
        for stored, fate in zip(batch, fates, strict=True):
            RELAY_PUBLISHED.labels(fate=fate.value).inc()
            if fate is Fate.CONFIRMED:
                confirmed.append(stored.id)
                self._let_go(stored)
            elif fate is not Fate.HELD_BACK:
                self._hold_back(stored, fate)
        RELAY_HELD_BACK.set(len(self._held_back))
        if confirmed:
            self._store.delete(confirmed)
        return _Round(len(confirmed), may_be_more)

    def _read(self) -> tuple[Sequence[StoredEvent], bool]:
        held_back = self._held_back.waiting()
        read = self._store.read(held_back=held_back, limit=BATCH)
        is_full = len(read) == BATCH
        self._held_back.forget_gone(read, left_out=held_back, is_all=not is_full)
        batch, cut = _chains_cut_short(read)
        # One aggregate may fill whole reads, after an outage or a bulk change; others go past it.
        for _ in range(TOP_UPS):
            if not cut or not is_full or 2 * len(batch) > BATCH:
                break
            more = self._store.read(held_back={*held_back, *cut}, limit=BATCH)
            batch, cut_again = _chains_cut_short(_together(batch, more))
            if not cut_again - cut:
                break
            cut |= cut_again
        return batch, is_full

    def _may_wait(self) -> bool:
        now = time.monotonic()
        if self._stop.is_set():
            self._finish_by = self._finish_by or now + FINISH_SECONDS
            if now >= self._finish_by:
                return False
        try:
            still_leads = self._store.lead()
            self._measure_if_due()
        except OutboxUnavailable:
            return False
        return still_leads

    def _let_go(self, stored: StoredEvent) -> None:
        if self._held_back.went(stored):
            self._log.info(
                "message_goes_again",
                message_id=stored.event.id,
                aggregate_id=stored.event.aggregate_id,
            )

    def _hold_back(self, stored: StoredEvent, fate: Fate) -> None:
        if self._held_back.hold(stored):
            self._log.error(
                "message_held_back",
                fate=fate.value,
                event_type=stored.event.type,
                message_id=stored.event.id,
                aggregate_id=stored.event.aggregate_id,
            )

    def _say_once_that_broker_is_away(self, error: BrokerUnavailable) -> None:
        if not self._broker_is_away:
            self._broker_is_away = True
            self._log.warning("relay_waits_for_broker", error=error.message)

    def _measure_if_due(self) -> None:
        now = time.monotonic()
        if now - self._measured_at < MEASURE_SECONDS:
            return
        self._measured_at = now
        size = self._store.measure()
        OUTBOX_WAITING.set(size.waiting)
        OUTBOX_OLDEST_AGE.set(size.oldest_age_seconds)


def _chains_cut_short(waiting: Sequence[StoredEvent]) -> tuple[list[StoredEvent], set[str]]:
    """Leave at most `CHAIN` events of each aggregate; say which have more."""
    counts: dict[str, int] = {}
    kept: list[StoredEvent] = []
    cut: set[str] = set()
    for stored in waiting:
        name = stored.event.aggregate_id
        counts[name] = counts.get(name, 0) + 1
        if counts[name] <= CHAIN:
            kept.append(stored)
        else:
            cut.add(name)
    return kept, cut


def _together(
    first: Sequence[StoredEvent], second: Collection[StoredEvent]
) -> Sequence[StoredEvent]:
    by_place = {stored.id: stored for stored in (*first, *second)}
    return [by_place[place] for place in sorted(by_place)]
