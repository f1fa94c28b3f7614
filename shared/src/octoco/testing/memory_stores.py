"""What relay, event handling and executor ask of a service's database, in memory.

Each store looks at what the fakes of the units of work keep: a relay reads the very messages that
units have added, and an executor leases the intents that they have stored.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from octoco.clock import Clock, SystemClock
from octoco.errors import Unavailable
from octoco.events import Event
from octoco.inbox.parked import LEASE_SECONDS, ParkedEvent, ParkedFigures
from octoco.intents.intent import Intent
from octoco.intents.leases import CallFate, LeasedIntent
from octoco.outbox.ports import OutboxSize, OutboxUnavailable, StoredEvent
from octoco.testing.fakes import FakeIntents, FakeOutbox, StoredIntent
from octoco.testing.memory_units import TransactionalStore


class MemoryDatabase:
    """What is asked of a database itself: whether it answers, and whose turn it is.

    `is_away` makes it answer nothing. Stores that were given the database answer nothing then.
    """

    def __init__(self) -> None:
        self.is_away = False
        self._turns: set[str] = set()

    def check(self) -> None:
        """See `octoco.database.Database.check`."""
        if self.is_away:
            raise Unavailable("The database is not available.")

    @contextmanager
    def turn(
        self,
        name: str,
        *,
        wait_seconds: float,  # noqa: ARG002 - nobody waits here
        seconds_max: float,  # noqa: ARG002 - nor sleeps
    ) -> Iterator[bool]:
        """See `octoco.database.Database.turn`."""
        self.check()
        is_ours = name not in self._turns
        self._turns.add(name)
        try:
            yield is_ours
        finally:
            if is_ours:
                self._turns.discard(name)


class MemoryOutboxStore:
    """See `octoco.outbox.ports.OutboxStore`; one of these is one connection after the other.

    Args:
        outbox: What units of work add to. All stores on one outbox compete for one lead.
    """

    def __init__(self, outbox: FakeOutbox) -> None:
        self._outbox = outbox
        self._is_cut = False
        self._thinks_it_leads = False

    def lead(self) -> bool:
        self._check_connection()
        if self._outbox.leader is None:
            self._outbox.leader = self
        self._thinks_it_leads = self._outbox.leader is self
        return self._thinks_it_leads

    def read(self, *, held_back: Collection[str], limit: int) -> Sequence[StoredEvent]:
        self._check_lead()
        left_out = set(held_back)
        places = sorted(self._outbox.waiting)
        found = (self._outbox.waiting[place] for place in places)
        return [one for one in found if one.event.aggregate_id not in left_out][:limit]

    def delete(self, ids: Collection[int]) -> None:
        self._check_lead()
        for place in ids:
            self._outbox.waiting.pop(place, None)

    def measure(self) -> OutboxSize:
        self._check_connection()
        waiting = self._outbox.waiting
        if not waiting:
            return OutboxSize(0, 0.0)
        age = self._outbox.clock.now() - waiting[min(waiting)].event.occurred_at
        return OutboxSize(len(waiting), age.total_seconds())

    def close(self) -> None:
        if self._outbox.leader is self:
            self._outbox.leader = None
        self._is_cut = self._thinks_it_leads = False

    def cut(self) -> None:
        """Cut the connection: the database gives the lead to others, and we are not told."""
        if self._outbox.leader is self:
            self._outbox.leader = None
        self._is_cut = True

    def _check_lead(self) -> None:
        self._check_connection()
        if not self._thinks_it_leads:
            raise OutboxUnavailable("The outbox's lead is not held.")

    def _check_connection(self) -> None:
        if self._is_cut:
            self.close()
            raise OutboxUnavailable("The outbox cannot be reached.")


class MemorySuspectStore:
    """See `octoco.inbox.suspects.SuspectStore`."""

    def __init__(self) -> None:
        self.marked: set[str] = set()

    def begin(self, key: str) -> bool:
        if key in self.marked:
            self.marked.discard(key)
            return False
        self.marked.add(key)
        return True

    def end(self, key: str) -> None:
        self.marked.discard(key)


@dataclass(frozen=True, slots=True)
class _Parked:
    event: Event
    headers: Mapping[str, Any]
    waits_for: str
    parked_at: datetime
    due_at: datetime
    attempts: int = 0
    begun: bool = False


class MemoryParkedStore(TransactionalStore):
    """See `octoco.inbox.parked.ParkedStore`.

    Args:
        clock: Says what is due.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.rows: dict[str, _Parked] = {}
        self._clock: Clock = clock or SystemClock()

    def park(
        self,
        event: Event,
        *,
        waits_for: str,
        headers: Mapping[str, Any],
        parked_at: datetime | None = None,
    ) -> None:
        now = self._clock.now()
        row = _Parked(event, dict(headers), waits_for, parked_at or now, now)
        self.rows.setdefault(event.id, row)

    def claim(self) -> ParkedEvent | None:
        now = self._clock.now()
        due = [row for row in self.rows.values() if row.due_at <= now]
        if not due:
            return None
        row = min(due, key=lambda one: one.due_at)
        self.rows[row.event.id] = replace(
            row, begun=True, due_at=now + timedelta(seconds=LEASE_SECONDS)
        )
        return ParkedEvent(row.event, row.headers, row.parked_at, row.begun)

    def take_out(self, unit: object, event_id: str) -> None:  # noqa: ARG002 - the one under way
        row = self.rows.pop(event_id, None)
        if row is not None:
            self._on_roll_back(lambda: self.rows.update({event_id: row}))

    def remove(self, event_id: str) -> None:
        self.rows.pop(event_id, None)

    def postpone(self, event_id: str) -> None:
        row = self.rows.get(event_id)
        if row is None:
            return
        now = self._clock.now()
        age_seconds = (now - row.parked_at).total_seconds()
        seconds = min(2.0 ** min(row.attempts, 10), max(30.0, min(300.0, age_seconds / 20)))
        self.rows[event_id] = replace(
            row,
            begun=False,
            attempts=row.attempts + 1,
            due_at=now + timedelta(seconds=seconds),
        )

    def measure(self, *, overdue_seconds: float) -> ParkedFigures:
        now = self._clock.now()
        ages = [(now - row.parked_at).total_seconds() for row in self.rows.values()]
        overdue = sum(age > overdue_seconds for age in ages)
        return ParkedFigures(len(ages), max(ages, default=0.0), overdue)


class MemoryIntentLeases:
    """See `octoco.intents.leases.IntentLeases`.

    Args:
        intents: What units of work store.
        clock: Says what is due and how long leases last.
    """

    def __init__(self, intents: FakeIntents, *, clock: Clock | None = None) -> None:
        self._intents = intents
        self._clock: Clock = clock or SystemClock()

    def lease_due(
        self, *, places: Mapping[str, int], most: int, lease_seconds: float
    ) -> Sequence[LeasedIntent]:
        now = self._clock.now()
        left = dict(places)
        leased: list[LeasedIntent] = []
        due = [item for item in self._intents.rows.items() if _is_free(item[1], now)]
        for (kind, subject_id), row in sorted(due, key=lambda item: item[1].due_at):
            if left.get(kind, 0) <= 0 or len(leased) == most:
                continue
            left[kind] -= 1
            taken = replace(
                row,
                attempts=row.attempts + 1,
                lease=row.lease + 1,
                leased_until=now + timedelta(seconds=lease_seconds),
            )
            self._intents.put((kind, subject_id), taken)
            leased.append(_leased(kind, subject_id, taken))
        return leased

    def renew(
        self,
        leased: Collection[LeasedIntent],
        *,
        lease_seconds: float,
        waits: bool = False,  # noqa: ARG002 - nobody is at it meanwhile
    ) -> set[tuple[str, str]]:
        until = self._clock.now() + timedelta(seconds=lease_seconds)
        renewed = set()
        for one in leased:
            row = self._ours(one)
            if row is not None and row.leased_until is not None:
                self._intents.put(_key(one), replace(row, leased_until=until))
                renewed.add(_key(one))
        return renewed

    def begin(self, unit: object, leased: LeasedIntent) -> bool:  # noqa: ARG002 - the one under way
        row = self._ours(leased)
        if row is None:
            return False
        self._intents.put(_key(leased), replace(row, begun_at=self._clock.now(), answered_at=None))
        return True

    def still_ours(self, unit: object, leased: LeasedIntent) -> bool:  # noqa: ARG002
        return self._ours(leased) is not None

    def finish(self, unit: object, leased: LeasedIntent, *, fate: CallFate) -> None:  # noqa: ARG002
        row = self._ours(leased)
        if row is not None:
            settled = self._settled(row, leased, fate)
            self._intents.put(
                _key(leased), replace(settled, finished_at=self._clock.now(), last_reason=None)
            )

    def reschedule(
        self,
        unit: object,  # noqa: ARG002
        leased: LeasedIntent,
        *,
        after_seconds: float,
        attempts: int,
        reason: str,
        fate: CallFate,
    ) -> None:
        row = self._ours(leased)
        if row is not None:
            self._intents.put(
                _key(leased),
                replace(
                    self._settled(row, leased, fate),
                    due_at=self._clock.now() + timedelta(seconds=after_seconds),
                    attempts=attempts,
                    last_reason=reason,
                ),
            )

    def _ours(self, leased: LeasedIntent) -> StoredIntent | None:
        row = self._intents.rows.get(_key(leased))
        is_ours = row is not None and row.lease == leased.lease and row.finished_at is None
        return row if is_ours else None

    def _settled(self, row: StoredIntent, leased: LeasedIntent, fate: CallFate) -> StoredIntent:
        if fate is CallFate.NOT_MADE:
            begun_at, answered_at = leased.begun_at, leased.answered_at
        else:
            begun_at = row.begun_at
            assert begun_at is not None or fate is CallFate.UNANSWERED, "answered, and never begun"
            answered_at = self._clock.now() if fate is CallFate.ANSWERED else None
        return replace(row, leased_until=None, begun_at=begun_at, answered_at=answered_at)


def _is_free(row: StoredIntent, now: datetime) -> bool:
    is_leased = row.leased_until is not None and row.leased_until > now
    return row.finished_at is None and row.due_at <= now and not is_leased


def _key(leased: LeasedIntent) -> tuple[str, str]:
    return leased.intent.kind, leased.intent.subject_id


def _leased(kind: str, subject_id: str, row: StoredIntent) -> LeasedIntent:
    intent = Intent(
        kind=kind,
        subject_id=subject_id,
        data=row.data,
        attempt=row.attempts,
        created_at=row.created_at,
        due_at=row.due_at,
        begun_at=row.begun_at if row.answered_at is None else None,
    )
    return LeasedIntent(intent, row.lease, row.context, row.begun_at, row.answered_at)
