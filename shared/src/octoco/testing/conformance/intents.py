"""What every store of intents keeps to, seen from who wants them and from who performs them."""

from datetime import datetime, timedelta
from typing import Protocol

import pytest

from octoco.clock import FixedClock
from octoco.context import WorkContext, work_context
from octoco.intents.leases import CallFate, IntentLeases, LeasedIntent
from octoco.ports import MessagingUnit
from octoco.testing.conformance.probe import Undo, Units

KIND = "probe"
LEASE_SECONDS = 60


class IntentsGround(Protocol):
    """What the suite stands on: no intents, and a clock that decides what is due."""

    @property
    def units(self) -> Units: ...

    @property
    def leases(self) -> IntentLeases[MessagingUnit]: ...

    @property
    def clock(self) -> FixedClock:
        """Of units and leases alike; it stands in the past of every other clock."""
        ...


class IntentsConformance:
    """Subclass it as `Test...`, with a fixture `ground` that returns a `IntentsGround`."""

    def test_an_intent_is_stored_once_for_its_kind_and_subject(self, ground: IntentsGround) -> None:
        assert _add(ground, "one")
        assert not _add(ground, "one")
        assert _add(ground, "two")
        assert ground.units.run(lambda unit: unit.intents.add(kind="other", subject_id="one"))

    def test_a_second_one_changes_nothing_of_the_first(self, ground: IntentsGround) -> None:
        ground.units.run(
            lambda unit: unit.intents.add(kind=KIND, subject_id="one", data={"amount": "1.00"})
        )
        ground.units.run(
            lambda unit: unit.intents.add(kind=KIND, subject_id="one", data={"amount": "2.00"})
        )
        assert _lease(ground).intent.data == {"amount": "1.00"}

    def test_an_intent_of_a_unit_that_is_rolled_back_never_was(self, ground: IntentsGround) -> None:
        def die(unit: MessagingUnit) -> None:
            unit.intents.add(kind=KIND, subject_id="one")
            raise Undo

        with pytest.raises(Undo):
            ground.units.run(die)
        assert _lease_all(ground) == []
        assert _add(ground, "one")

    def test_it_comes_with_what_was_stored_and_the_work_that_wanted_it(
        self, ground: IntentsGround
    ) -> None:
        with work_context(WorkContext(correlation_id="cor_1", causation_id="msg_1")):
            _add(ground, "one")
        leased = _lease(ground)
        assert (leased.intent.kind, leased.intent.subject_id) == (KIND, "one")
        assert leased.intent.attempt == 1
        assert (leased.context.correlation_id, leased.context.causation_id) == ("cor_1", "msg_1")

    def test_it_is_not_leased_before_it_is_due(self, ground: IntentsGround) -> None:
        later = ground.clock.now() + timedelta(seconds=10)
        ground.units.run(lambda unit: unit.intents.add(kind=KIND, subject_id="one", due_at=later))
        assert _lease_all(ground) == []
        ground.clock.advance(timedelta(seconds=10))
        assert len(_lease_all(ground)) == 1

    def test_an_intent_that_is_hurried_is_due_now(self, ground: IntentsGround) -> None:
        later = ground.clock.now() + timedelta(hours=1)
        ground.units.run(lambda unit: unit.intents.add(kind=KIND, subject_id="one", due_at=later))
        assert ground.units.run(lambda unit: unit.intents.hurry(kind=KIND, subject_id="one"))
        assert len(_lease_all(ground)) == 1
        assert not ground.units.run(lambda unit: unit.intents.hurry(kind=KIND, subject_id="two"))

    def test_what_is_due_for_longest_is_leased_first_and_no_more_than_there_is_room_for(
        self, ground: IntentsGround
    ) -> None:
        for subject, seconds in (("third", 3), ("first", 1), ("second", 2)):
            _add(ground, subject, due_at=ground.clock.now() + timedelta(seconds=seconds))
        ground.clock.advance(timedelta(seconds=5))
        leased = ground.leases.lease_due(
            places={KIND: 2, "other": 5}, most=5, lease_seconds=LEASE_SECONDS
        )
        assert [one.intent.subject_id for one in leased] == ["first", "second"]

    def test_kinds_without_a_place_are_not_leased(self, ground: IntentsGround) -> None:
        _add(ground, "one")
        leased = ground.leases.lease_due(places={"other": 5}, most=5, lease_seconds=LEASE_SECONDS)
        assert list(leased) == []

    def test_a_leased_intent_is_nobody_elses_until_the_lease_ends(
        self, ground: IntentsGround
    ) -> None:
        _add(ground, "one")
        first = _lease(ground)
        ground.clock.advance(timedelta(seconds=LEASE_SECONDS - 1))
        assert _lease_all(ground) == []
        ground.clock.advance(timedelta(seconds=1))
        second = _lease(ground)
        assert second.lease > first.lease
        assert second.intent.attempt == 2

    def test_a_lease_that_is_renewed_lasts_from_then_on(self, ground: IntentsGround) -> None:
        _add(ground, "one")
        leased = _lease(ground)
        ground.clock.advance(timedelta(seconds=LEASE_SECONDS - 1))
        assert ground.leases.renew([leased], lease_seconds=LEASE_SECONDS) == {(KIND, "one")}
        ground.clock.advance(timedelta(seconds=LEASE_SECONDS - 1))
        assert _lease_all(ground) == []

    def test_who_has_lost_the_lease_can_do_nothing_with_it(self, ground: IntentsGround) -> None:
        _add(ground, "one")
        old = _lease(ground)
        ground.clock.advance(timedelta(seconds=LEASE_SECONDS))
        new = _lease(ground)
        assert ground.leases.renew([old], lease_seconds=10 * LEASE_SECONDS) == set()
        assert not ground.units.run(lambda unit: ground.leases.still_ours(unit, old))
        assert not _begin(ground, old)
        ground.units.run(lambda unit: ground.leases.finish(unit, old, fate=CallFate.ANSWERED))
        assert ground.units.run(lambda unit: ground.leases.still_ours(unit, new))
        ground.units.run(
            lambda unit: ground.leases.reschedule(
                unit, old, after_seconds=0, attempts=0, reason="", fate=CallFate.ANSWERED
            )
        )
        assert _lease_all(ground) == []

    def test_an_intent_that_is_finished_is_over_for_good(self, ground: IntentsGround) -> None:
        _add(ground, "one")
        leased = _begun(ground)
        ground.units.run(lambda unit: ground.leases.finish(unit, leased, fate=CallFate.ANSWERED))
        ground.clock.advance(timedelta(days=1))
        assert _lease_all(ground) == []
        assert not _add(ground, "one")
        assert not ground.units.run(lambda unit: unit.intents.hurry(kind=KIND, subject_id="one"))
        assert not ground.units.run(lambda unit: ground.leases.still_ours(unit, leased))

    def test_an_end_that_is_rolled_back_leaves_the_lease_as_it_was(
        self, ground: IntentsGround
    ) -> None:
        _add(ground, "one")
        leased = _begun(ground)

        def die(unit: MessagingUnit) -> None:
            ground.leases.finish(unit, leased, fate=CallFate.ANSWERED)
            raise Undo

        with pytest.raises(Undo):
            ground.units.run(die)
        assert ground.units.run(lambda unit: ground.leases.still_ours(unit, leased))
        assert _lease_all(ground) == []

    def test_an_intent_that_is_rescheduled_is_due_again_with_the_tries_that_count(
        self, ground: IntentsGround
    ) -> None:
        _add(ground, "one")
        _reschedule(ground, _begun(ground), CallFate.ANSWERED, after_seconds=30, attempts=4)
        ground.clock.advance(timedelta(seconds=29))
        assert _lease_all(ground) == []
        ground.clock.advance(timedelta(seconds=1))
        assert _lease(ground).intent.attempt == 5

    def test_a_call_that_was_begun_and_not_answered_is_known_to_who_comes_next(
        self, ground: IntentsGround
    ) -> None:
        _add(ground, "one")
        first = _lease(ground)
        assert first.intent.begun_at is None
        assert _begin(ground, first)
        ground.clock.advance(timedelta(seconds=LEASE_SECONDS))
        second = _lease(ground)
        assert second.intent.begun_at is not None
        _reschedule(ground, second, CallFate.UNANSWERED, after_seconds=0, attempts=2)
        assert _lease(ground).intent.begun_at is not None

    def test_a_call_that_was_answered_or_never_made_leaves_no_doubt(
        self, ground: IntentsGround
    ) -> None:
        for subject, fate in (("one", CallFate.ANSWERED), ("two", CallFate.NOT_MADE)):
            _add(ground, subject)
            leased = _begun(ground)
            _reschedule(ground, leased, fate, after_seconds=0, attempts=1)
            assert _lease(ground).intent.begun_at is None


def _add(ground: IntentsGround, subject_id: str, *, due_at: datetime | None = None) -> bool:
    return ground.units.run(
        lambda unit: unit.intents.add(kind=KIND, subject_id=subject_id, due_at=due_at)
    )


def _begin(ground: IntentsGround, leased: LeasedIntent) -> bool:
    return ground.units.run(lambda unit: ground.leases.begin(unit, leased))


def _lease_all(ground: IntentsGround) -> list[LeasedIntent]:
    return list(ground.leases.lease_due(places={KIND: 9}, most=9, lease_seconds=LEASE_SECONDS))


def _lease(ground: IntentsGround) -> LeasedIntent:
    leased = _lease_all(ground)
    assert len(leased) == 1
    return leased[0]


def _begun(ground: IntentsGround) -> LeasedIntent:
    leased = _lease(ground)
    assert _begin(ground, leased)
    return leased


def _reschedule(
    ground: IntentsGround,
    leased: LeasedIntent,
    fate: CallFate,
    *,
    after_seconds: float,
    attempts: int,
) -> None:
    ground.units.run(
        lambda unit: ground.leases.reschedule(
            unit, leased, after_seconds=after_seconds, attempts=attempts, reason="", fate=fate
        )
    )
