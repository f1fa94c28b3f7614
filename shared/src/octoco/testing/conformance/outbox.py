"""What every outbox keeps to, seen from the relay."""

from typing import Protocol

import pytest

from octoco.context import WorkContext, work_context
from octoco.events import Event
from octoco.messaging.contracts import ContractViolation
from octoco.outbox.ports import OutboxStore, OutboxUnavailable
from octoco.ports import MessagingUnit
from octoco.testing.conformance.probe import Happened, Undo, Units, announce


class OutboxGround(Protocol):
    """What the suite stands on: one empty outbox, whose contracts are `PROBE_CONTRACTS`."""

    @property
    def units(self) -> Units:
        """Units of work that add to it. One that is run inside another commits by itself."""
        ...

    def open_store(self) -> OutboxStore:
        """Return a relay's side of it, on a connection of its own."""
        ...

    def cut(self, store: OutboxStore) -> None:
        """Break the connection of a store that leads; the database knows when this returns."""
        ...


class OutboxStoreConformance:
    """Subclass it as `Test...`, with a fixture `ground` that returns a `OutboxGround`."""

    def test_what_units_add_is_read_in_their_order(self, ground: OutboxGround) -> None:
        ids = announce(ground.units, *(Happened(f"thing {n % 3}", n) for n in range(7)))
        assert [event.id for event in _read(_leading(ground))] == list(ids)

    def test_an_event_is_read_as_it_was_added(self, ground: OutboxGround) -> None:
        context = WorkContext(correlation_id="cor_1", causation_id="msg_1")
        with work_context(context):
            (event_id,) = announce(ground.units, Happened("one", 5))
        events = _read(_leading(ground))
        assert len(events) == 1
        event = events[0]
        assert (event.id, event.type, event.aggregate_id) == (event_id, Happened.TYPE, "one")
        assert event.data == {"thing": "one", "n": 5}
        assert (event.correlation_id, event.causation_id) == ("cor_1", "msg_1")
        assert event.occurred_at.utcoffset() is not None
        assert event.traceparent is not None

    def test_messages_added_together_keep_their_order_and_their_own_contexts(
        self, ground: OutboxGround
    ) -> None:
        contexts = [WorkContext(correlation_id=f"cor_{n}") for n in range(4)]
        ids = ground.units.run(
            lambda unit: unit.outbox.add_all(
                [Happened("one", n) for n in range(4)], contexts=contexts
            )
        )
        events = _read(_leading(ground))
        assert [event.id for event in events] == list(ids)
        assert [event.correlation_id for event in events] == [f"cor_{n}" for n in range(4)]

    def test_a_body_that_breaks_its_contract_is_not_stored(self, ground: OutboxGround) -> None:
        class Broken(Happened):
            def to_data(self) -> dict[str, object]:
                return {"thing": self.thing, "n": "many"}

        with pytest.raises(ContractViolation):
            announce(ground.units, Broken("one", 1))
        assert _read(_leading(ground)) == []

    def test_a_unit_that_is_rolled_back_has_announced_nothing(self, ground: OutboxGround) -> None:
        def give_up(unit: MessagingUnit) -> None:
            unit.outbox.add(Happened("one", 1))
            raise Undo

        with pytest.raises(Undo):
            ground.units.run(give_up)
        announce(ground.units, Happened("one", 2))
        assert [event.data["n"] for event in _read(_leading(ground))] == [2]

    def test_a_unit_that_has_not_committed_has_announced_nothing_yet(
        self, ground: OutboxGround
    ) -> None:
        store = _leading(ground)

        def look(unit: MessagingUnit) -> list[Event]:
            unit.outbox.add(Happened("one", 1))
            return _read(store)

        assert ground.units.run(look) == []
        assert len(_read(store)) == 1

    def test_what_commits_late_is_read_at_its_place_in_front_of_what_was_read_before(
        self, ground: OutboxGround
    ) -> None:
        store = _leading(ground)
        read_before: list[Event] = []

        def late(unit: MessagingUnit) -> None:
            unit.outbox.add(Happened("late", 1))
            announce(ground.units, Happened("early", 2), Happened("early", 3))
            read = store.read(held_back=(), limit=10)
            read_before.extend(stored.event for stored in read)
            store.delete([read[0].id])

        ground.units.run(late)
        assert [event.data["n"] for event in read_before] == [2, 3]
        assert [event.data["n"] for event in _read(store)] == [1, 3]

    def test_reading_takes_nothing_out(self, ground: OutboxGround) -> None:
        announce(ground.units, Happened("one", 1))
        store = _leading(ground)
        assert _read(store) == _read(store) != []

    def test_deleting_takes_out_what_is_named_and_again_changes_nothing(
        self, ground: OutboxGround
    ) -> None:
        announce(ground.units, *(Happened("one", n) for n in range(4)))
        store = _leading(ground)
        read = store.read(held_back=(), limit=10)
        confirmed = [read[0].id, read[2].id]
        store.delete(confirmed)
        store.delete(confirmed)
        assert [event.data["n"] for event in _read(store)] == [1, 3]

    def test_aggregates_that_are_held_back_are_left_out_and_fill_no_place(
        self, ground: OutboxGround
    ) -> None:
        announce(ground.units, *(Happened(name, 0) for name in "aabacab"))
        read = _leading(ground).read(held_back=["a"], limit=2)
        assert [stored.event.aggregate_id for stored in read] == ["b", "c"]

    def test_no_more_are_read_than_asked_for(self, ground: OutboxGround) -> None:
        announce(ground.units, *(Happened("one", n) for n in range(5)))
        read = _leading(ground).read(held_back=(), limit=3)
        assert [stored.event.data["n"] for stored in read] == [0, 1, 2]

    def test_one_leads_until_it_is_closed(self, ground: OutboxGround) -> None:
        first, second = ground.open_store(), ground.open_store()
        try:
            assert first.lead()
            assert not second.lead()
            assert first.lead()
            first.close()
            assert second.lead()
            assert not first.lead()
        finally:
            first.close()
            second.close()

    def test_who_does_not_lead_can_neither_read_nor_delete(self, ground: OutboxGround) -> None:
        announce(ground.units, Happened("one", 1))
        leader, other = _leading(ground), ground.open_store()
        assert not other.lead()
        with pytest.raises(OutboxUnavailable):
            other.read(held_back=(), limit=1)
        (stored,) = leader.read(held_back=(), limit=1)
        with pytest.raises(OutboxUnavailable):
            other.delete([stored.id])
        assert len(_read(leader)) == 1
        other.close()

    def test_a_leader_that_is_cut_off_deletes_nothing_while_another_leads(
        self, ground: OutboxGround
    ) -> None:
        announce(ground.units, Happened("one", 1))
        first, second = _leading(ground), ground.open_store()
        (stored,) = first.read(held_back=(), limit=1)
        ground.cut(first)
        assert second.lead()
        with pytest.raises(OutboxUnavailable):
            first.delete([stored.id])
        assert len(_read(second)) == 1
        assert not first.lead()
        first.close()

    def test_it_says_how_much_waits(self, ground: OutboxGround) -> None:
        store = ground.open_store()
        assert store.lead()
        assert store.measure().waiting == 0
        announce(ground.units, Happened("one", 1), Happened("two", 2))
        size = store.measure()
        store.close()
        assert size.waiting == 2
        assert size.oldest_age_seconds >= 0

    def test_who_does_not_lead_is_told_how_much_waits_too(self, ground: OutboxGround) -> None:
        leader, other = _leading(ground), ground.open_store()
        assert not other.lead()
        announce(ground.units, Happened("one", 1), Happened("two", 2))
        (stored, _) = leader.read(held_back=(), limit=2)
        assert other.measure().waiting == 2
        leader.delete([stored.id])
        for _ in range(3):
            assert other.measure().waiting == 1
        leader.close()
        other.close()


def _leading(ground: OutboxGround) -> OutboxStore:
    store = ground.open_store()
    assert store.lead()
    return store


def _read(store: OutboxStore) -> list[Event]:
    return [stored.event for stored in store.read(held_back=(), limit=100)]
