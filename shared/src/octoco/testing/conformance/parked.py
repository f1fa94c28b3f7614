"""What every store of parked events keeps to."""

from typing import Protocol

import pytest

from octoco.inbox.parked import LEASE_SECONDS, ParkedEvent, ParkedStore
from octoco.ports import MessagingUnit
from octoco.testing.conformance.probe import Happened, Undo, Units, event_of


class ParkedGround(Protocol):
    """What the suite stands on: nothing parked, and a way to let time pass for what is."""

    @property
    def units(self) -> Units: ...

    @property
    def parked(self) -> ParkedStore[MessagingUnit]: ...

    def pass_time(self, seconds: float) -> None:
        """Make everything that is parked so much older."""
        ...


class ParkedConformance:
    """Subclass it as `Test...`, with a fixture `ground` that returns a `ParkedGround`."""

    def test_an_event_is_claimed_as_it_was_parked(self, ground: ParkedGround) -> None:
        event = event_of(Happened("one", 1))
        ground.parked.park(event, waits_for="the other", headers={"x-octoco-attempt": 2})
        claimed = _claim(ground)
        assert claimed.event == event
        assert claimed.headers == {"x-octoco-attempt": 2}
        assert not claimed.died

    def test_parked_twice_it_is_there_once(self, ground: ParkedGround) -> None:
        event = event_of(Happened("one", 1))
        for _ in range(2):
            ground.parked.park(event, waits_for="the other", headers={})
        _claim(ground)
        assert ground.parked.claim() is None
        assert ground.parked.measure(overdue_seconds=60).count == 1

    def test_what_is_claimed_nobody_else_gets(self, ground: ParkedGround) -> None:
        _park(ground, "one")
        _claim(ground)
        assert ground.parked.claim() is None

    def test_what_is_postponed_is_due_again_later_and_later(self, ground: ParkedGround) -> None:
        _park(ground, "one")
        for seconds in (1, 2, 4):
            ground.parked.postpone(_claim(ground).event.id)
            ground.pass_time(seconds * 0.5)
            assert ground.parked.claim() is None
            ground.pass_time(seconds * 0.6)
        assert not _claim(ground).died

    def test_one_that_is_early_again_and_again_keeps_nobody_waiting(
        self, ground: ParkedGround
    ) -> None:
        _park(ground, "one")
        ground.parked.postpone(_claim(ground).event.id)
        _park(ground, "two")
        assert _claim(ground).event.aggregate_id == "two"

    def test_a_claim_that_nobody_gives_back_tells_of_a_death(self, ground: ParkedGround) -> None:
        _park(ground, "one")
        _claim(ground)
        ground.pass_time(LEASE_SECONDS + 1)
        assert _claim(ground).died

    def test_it_is_taken_out_in_the_unit_that_handled_it(self, ground: ParkedGround) -> None:
        _park(ground, "one")
        event_id = _claim(ground).event.id

        def die(unit: MessagingUnit) -> None:
            ground.parked.take_out(unit, event_id)
            raise Undo

        with pytest.raises(Undo):
            ground.units.run(die)
        assert ground.parked.measure(overdue_seconds=60).count == 1
        ground.units.run(lambda unit: ground.parked.take_out(unit, event_id))
        assert ground.parked.measure(overdue_seconds=60).count == 0

    def test_what_is_removed_is_gone(self, ground: ParkedGround) -> None:
        _park(ground, "one")
        ground.parked.remove(_claim(ground).event.id)
        ground.pass_time(LEASE_SECONDS + 1)
        assert ground.parked.claim() is None

    def test_it_says_how_many_there_are_and_for_how_long(self, ground: ParkedGround) -> None:
        assert ground.parked.measure(overdue_seconds=60).count == 0
        _park(ground, "one")
        ground.pass_time(100)
        _park(ground, "two")
        figures = ground.parked.measure(overdue_seconds=60)
        assert (figures.count, figures.overdue) == (2, 1)
        assert 99 < figures.oldest_age_seconds < 130


def _park(ground: ParkedGround, thing: str) -> None:
    ground.parked.park(event_of(Happened(thing, 1)), waits_for="the other", headers={})


def _claim(ground: ParkedGround) -> ParkedEvent:
    claimed = ground.parked.claim()
    assert claimed is not None
    return claimed
