"""What every inbox keeps to."""

from typing import Protocol

import pytest

from octoco.ports import MessagingUnit
from octoco.testing.conformance.probe import Undo, Units


class InboxGround(Protocol):
    """What the suite stands on: units of work with an empty inbox."""

    @property
    def units(self) -> Units: ...


class InboxConformance:
    """Subclass it as `Test...`, with a fixture `ground` that returns a `InboxGround`.

    Intents stand for effects: they are stored in the same unit.
    """

    def test_an_event_is_new_once(self, ground: InboxGround) -> None:
        assert ground.units.run(lambda unit: unit.inbox.record("one"))
        assert not ground.units.run(lambda unit: unit.inbox.record("one"))
        assert ground.units.run(lambda unit: unit.inbox.record("two"))

    def test_an_event_is_new_once_within_a_unit_too(self, ground: InboxGround) -> None:
        def twice(unit: MessagingUnit) -> list[bool]:
            return [unit.inbox.record("one"), unit.inbox.record("one")]

        assert ground.units.run(twice) == [True, False]

    def test_of_many_events_the_new_ones_are_named(self, ground: InboxGround) -> None:
        ground.units.run(lambda unit: unit.inbox.record("two"))
        fresh = ground.units.run(lambda unit: unit.inbox.record_all(["one", "two", "three"]))
        assert fresh == {"one", "three"}
        assert ground.units.run(lambda unit: unit.inbox.record_all(["one", "three"])) == set()

    def test_an_effect_that_is_rolled_back_leaves_its_event_unhandled(
        self, ground: InboxGround
    ) -> None:
        def die(unit: MessagingUnit) -> None:
            assert unit.inbox.record("one")
            assert unit.inbox.record_all(["two"]) == {"two"}
            assert unit.intents.add(kind="effect", subject_id="one")
            raise Undo

        with pytest.raises(Undo):
            ground.units.run(die)
        assert ground.units.run(lambda unit: unit.inbox.record("one"))
        assert ground.units.run(lambda unit: unit.inbox.record_all(["two"])) == {"two"}
        assert ground.units.run(lambda unit: unit.intents.add(kind="effect", subject_id="one"))

    def test_an_effect_that_is_committed_leaves_its_event_handled(
        self, ground: InboxGround
    ) -> None:
        def handle(unit: MessagingUnit) -> bool:
            return unit.inbox.record("one") and unit.intents.add(kind="effect", subject_id="one")

        assert ground.units.run(handle)
        assert not ground.units.run(handle)
        assert not ground.units.run(lambda unit: unit.intents.add(kind="effect", subject_id="one"))

    def test_a_unit_that_is_rolled_back_forgets_nothing_of_units_before_it(
        self, ground: InboxGround
    ) -> None:
        ground.units.run(lambda unit: unit.inbox.record("one"))

        def die(unit: MessagingUnit) -> None:
            assert not unit.inbox.record("one")
            raise Undo

        with pytest.raises(Undo):
            ground.units.run(die)
        assert not ground.units.run(lambda unit: unit.inbox.record("one"))
