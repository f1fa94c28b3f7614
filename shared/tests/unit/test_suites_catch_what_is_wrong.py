"""Each conformance suite fails on what breaks a promise: adapters that are wrong on purpose."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from octoco.context import WorkContext
from octoco.events import OutboundMessage
from octoco.intents.leases import CallFate, LeasedIntent
from octoco.outbox.ports import StoredEvent
from octoco.testing.conformance import (
    BrokerConformance,
    ConsumingConformance,
    InboxConformance,
    IntentsConformance,
    OutboxStoreConformance,
    ParkedConformance,
    PublisherConformance,
)
from octoco.testing.fakes import FakeInbox, FakeIntents, FakeOutbox
from octoco.testing.memory_stores import MemoryIntentLeases, MemoryOutboxStore, MemoryParkedStore
from octoco.testing.memory_units import MemoryTable, TransactionalStore

from .failing_suites import failures
from .test_memory_conforms import MemoryBrokerGround, StoresGround, consuming_ground

Patch = pytest.MonkeyPatch


def at_once(patch: Patch, *stores: type[TransactionalStore]) -> None:
    """Let stores keep and show what a unit did, whatever becomes of the unit."""
    for store in stores:
        patch.setattr(store, "_on_roll_back", lambda self, act: None)
        patch.setattr(store, "_on_commit", lambda self, act: act())


def undone_only(patch: Patch, *stores: type[TransactionalStore]) -> None:
    """Let stores take back what a unit did that fails, and show it before the unit commits."""
    for store in stores:
        patch.setattr(store, "_on_commit", lambda self, act: act())


def places_at_commit(patch: Patch) -> None:
    def show(self: FakeOutbox, act: Callable[[], object]) -> None:
        def at_the_end() -> None:
            before = set(self.waiting)
            act()
            for place in set(self.waiting) - before:
                stored = self.waiting.pop(place)
                last = max([*before, 1000])
                self.waiting[last + 1] = replace(stored, id=last + 1)

        TransactionalStore._on_commit(self, at_the_end)

    patch.setattr(FakeOutbox, "_on_commit", show)


def reading_takes_out(patch: Patch) -> None:
    read = MemoryOutboxStore.read

    def read_and_take_out(
        self: MemoryOutboxStore, *, held_back: Collection[str], limit: int
    ) -> Sequence[StoredEvent]:
        found = read(self, held_back=held_back, limit=limit)
        self.delete([stored.id for stored in found])
        return found

    patch.setattr(MemoryOutboxStore, "read", read_and_take_out)


def held_back_fill_places(patch: Patch) -> None:
    read = MemoryOutboxStore.read

    def read_then_leave_out(
        self: MemoryOutboxStore, *, held_back: Collection[str], limit: int
    ) -> Sequence[StoredEvent]:
        found = read(self, held_back=(), limit=limit)
        return [stored for stored in found if stored.event.aggregate_id not in held_back]

    patch.setattr(MemoryOutboxStore, "read", read_then_leave_out)


def deletes_up_to(patch: Patch) -> None:
    def delete(self: MemoryOutboxStore, ids: Collection[int]) -> None:
        for place in [one for one in self._outbox.waiting if one <= max(ids)]:
            del self._outbox.waiting[place]

    patch.setattr(MemoryOutboxStore, "delete", delete)


def everybody_leads(patch: Patch) -> None:
    def lead(self: MemoryOutboxStore) -> bool:
        self._check_connection()
        self._thinks_it_leads = True
        return True

    patch.setattr(MemoryOutboxStore, "lead", lead)


def nobody_checks_the_lead(patch: Patch) -> None:
    patch.setattr(MemoryOutboxStore, "_check_lead", lambda self: None)


def contexts_are_dropped(patch: Patch) -> None:
    store = FakeOutbox._store

    def store_without(self: FakeOutbox, message: OutboundMessage, context: WorkContext) -> str:
        return store(self, message, WorkContext())

    patch.setattr(FakeOutbox, "_store", store_without)


OUTBOXES: Mapping[str, Callable[[Patch], object]] = {
    "not in the unit": lambda patch: at_once(patch, FakeOutbox),
    "seen before the commit": lambda patch: undone_only(patch, FakeOutbox),
    "places in the order of commits": places_at_commit,
    "reading takes out": reading_takes_out,
    "what is held back fills places": held_back_fill_places,
    "deletes up to a place": deletes_up_to,
    "everybody leads": everybody_leads,
    "nobody checks the lead": nobody_checks_the_lead,
    "contexts are dropped": contexts_are_dropped,
}


@pytest.mark.parametrize("wrong", OUTBOXES)
def test_a_wrong_outbox_is_caught(wrong: str, monkeypatch: Patch) -> None:
    OUTBOXES[wrong](monkeypatch)
    assert failures(OutboxStoreConformance, StoresGround)


def inbox_forgets(patch: Patch) -> None:
    patch.setattr(FakeInbox, "record_all", lambda self, event_ids: set(event_ids))


def inbox_forgets_all_on_roll_back(patch: Patch) -> None:
    patch.setattr(FakeInbox, "_on_roll_back", lambda self, act: _undo(self, self.handled.clear))


def inbox_names_what_it_knew(patch: Patch) -> None:
    def record_all(self: FakeInbox, event_ids: Collection[str]) -> set[str]:
        fresh = set(event_ids) - self.handled
        self.handled |= fresh
        return set(event_ids) if fresh else set()

    patch.setattr(FakeInbox, "record_all", record_all)


def _undo(store: TransactionalStore, act: Callable[[], object]) -> None:
    TransactionalStore._on_roll_back(store, act)


INBOXES: Mapping[str, Callable[[Patch], object]] = {
    "not in the unit": lambda patch: at_once(patch, FakeInbox),
    "forgets": inbox_forgets,
    "forgets everything on a roll back": inbox_forgets_all_on_roll_back,
    "names what it knew": inbox_names_what_it_knew,
}


@pytest.mark.parametrize("wrong", INBOXES)
def test_a_wrong_inbox_is_caught(wrong: str, monkeypatch: Patch) -> None:
    INBOXES[wrong](monkeypatch)
    assert failures(InboxConformance, StoresGround)


def intents_are_overwritten(patch: Patch) -> None:
    add = FakeIntents.add

    def add_anew(self: FakeIntents, *, kind: str, subject_id: str, **rest: Any) -> bool:
        was_there = self.rows.pop((kind, subject_id), None) is not None
        add(self, kind=kind, subject_id=subject_id, **rest)
        return not was_there

    patch.setattr(FakeIntents, "add", add_anew)


def leases_are_not_fenced(patch: Patch) -> None:
    def whose_ever(self: MemoryIntentLeases, leased: LeasedIntent) -> Any:
        row = self._intents.rows.get((leased.intent.kind, leased.intent.subject_id))
        return row if row is not None and row.finished_at is None else None

    patch.setattr(MemoryIntentLeases, "_ours", whose_ever)


def leases_never_end(patch: Patch) -> None:
    def is_free(row: Any, now: datetime) -> bool:
        return row.finished_at is None and row.due_at <= now and row.leased_until is None

    patch.setattr("octoco.testing.memory_stores._is_free", is_free)


def leases_hold_nobody_back(patch: Patch) -> None:
    def is_free(row: Any, now: datetime) -> bool:
        return row.finished_at is None and row.due_at <= now

    patch.setattr("octoco.testing.memory_stores._is_free", is_free)


def finished_is_forgotten(patch: Patch) -> None:
    def finish(self: MemoryIntentLeases, unit: object, leased: LeasedIntent, **_: object) -> None:
        if self._ours(leased) is not None:
            del self._intents.rows[leased.intent.kind, leased.intent.subject_id]

    patch.setattr(MemoryIntentLeases, "finish", finish)


def calls_leave_no_mark(patch: Patch) -> None:
    def begin(self: MemoryIntentLeases, unit: object, leased: LeasedIntent) -> bool:
        return self._ours(leased) is not None

    patch.setattr(MemoryIntentLeases, "begin", begin)


def marks_are_never_lifted(patch: Patch) -> None:
    settled = MemoryIntentLeases._settled
    patch.setattr(
        MemoryIntentLeases,
        "_settled",
        lambda self, row, leased, fate: settled(self, row, leased, CallFate.UNANSWERED),
    )


INTENTS: Mapping[str, Callable[[Patch], object]] = {
    "not in the unit": lambda patch: at_once(patch, MemoryTable),
    "overwritten": intents_are_overwritten,
    "not fenced": leases_are_not_fenced,
    "leases never end": leases_never_end,
    "leases hold nobody back": leases_hold_nobody_back,
    "what is finished is forgotten": finished_is_forgotten,
    "calls leave no mark": calls_leave_no_mark,
    "marks are never lifted": marks_are_never_lifted,
}


@pytest.mark.parametrize("wrong", INTENTS)
def test_wrong_intents_are_caught(wrong: str, monkeypatch: Patch) -> None:
    INTENTS[wrong](monkeypatch)
    assert failures(IntentsConformance, StoresGround)


def parked_are_anybodys(patch: Patch) -> None:
    claim = MemoryParkedStore.claim

    def claim_and_give_back(self: MemoryParkedStore) -> Any:
        claimed = claim(self)
        if claimed is not None:
            row = self.rows[claimed.event.id]
            self.rows[claimed.event.id] = replace(row, due_at=self._clock.now(), begun=False)
        return claimed

    patch.setattr(MemoryParkedStore, "claim", claim_and_give_back)


def parked_wait_for_nothing(patch: Patch) -> None:
    def postpone(self: MemoryParkedStore, event_id: str) -> None:
        self.rows[event_id] = replace(self.rows[event_id], begun=False, due_at=self._clock.now())

    patch.setattr(MemoryParkedStore, "postpone", postpone)


def parked_tell_of_no_death(patch: Patch) -> None:
    claim = MemoryParkedStore.claim

    def claim_innocently(self: MemoryParkedStore) -> Any:
        claimed = claim(self)
        return None if claimed is None else replace(claimed, died=False)

    patch.setattr(MemoryParkedStore, "claim", claim_innocently)


PARKED: Mapping[str, Callable[[Patch], object]] = {
    "not in the unit": lambda patch: at_once(patch, MemoryParkedStore),
    "claimed by anybody": parked_are_anybodys,
    "never waiting": parked_wait_for_nothing,
    "silent about deaths": parked_tell_of_no_death,
}


@pytest.mark.parametrize("wrong", PARKED)
def test_wrong_parked_events_are_caught(wrong: str, monkeypatch: Patch) -> None:
    PARKED[wrong](monkeypatch)
    assert failures(ParkedConformance, StoresGround)


def parked_stay(patch: Patch) -> None:
    patch.setattr(MemoryParkedStore, "take_out", lambda self, unit, event_id: None)


CONSUMERS: Mapping[str, tuple[Callable[[Patch], object], str]] = {
    "the inbox forgets": (inbox_forgets, "test_the_same_message_twice_has_one_effect"),
    "effects are not in the unit": (
        lambda patch: at_once(patch, FakeOutbox),
        "test_an_effect_before_a_failure_is_undone_and_had_once_by_the_try_that_succeeds",
    ),
    "what was parked stays": (
        parked_stay,
        "test_what_is_too_early_is_parked_and_handled_once_when_it_may_be",
    ),
}


@pytest.mark.parametrize("wrong", CONSUMERS)
def test_wrong_consuming_is_caught(wrong: str, monkeypatch: Patch) -> None:
    break_it, test = CONSUMERS[wrong]
    break_it(monkeypatch)
    with pytest.raises(AssertionError):
        getattr(ConsumingConformance(), test)(consuming_ground())


@pytest.mark.parametrize(
    ("suite", "make_ground"),
    [
        (OutboxStoreConformance, StoresGround),
        (InboxConformance, StoresGround),
        (IntentsConformance, StoresGround),
        (ParkedConformance, StoresGround),
        (PublisherConformance, MemoryBrokerGround),
        (BrokerConformance, MemoryBrokerGround),
    ],
)
def test_what_is_right_is_not_caught(
    suite: type[object], make_ground: Callable[[], object]
) -> None:
    assert failures(suite, make_ground) == set()
