"""What the broker would not take is tried again, less and less often, and never forgotten."""

from datetime import UTC, datetime
from itertools import pairwise

from octoco.events import Event
from octoco.outbox.held_back import LONGEST_SECONDS, HeldBack
from octoco.outbox.ports import StoredEvent


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def stored(place: int, name: str, event_type: str = "probe.thing.happened.v1") -> StoredEvent:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return StoredEvent(place, Event(f"msg_{place}", event_type, "probe", name, at, {}, "cor"))


def test_an_aggregate_waits_longer_after_each_failure_and_never_longer_than_a_minute() -> None:
    clock = Clock()
    held = HeldBack(clock)
    waits = []
    for number in range(8):
        assert held.hold(stored(1, "one")) is (number == 0)
        began = clock.seconds
        while held.waiting():
            clock.seconds += 0.1
        waits.append(clock.seconds - began)
    assert 3.9 < waits[0] < 6.1
    assert all(later > 1.2 * earlier for earlier, later in pairwise(waits[:4]))
    assert max(waits) < 1.3 * LONGEST_SECONDS
    assert len(held) == 1, "it is still seen as held back"


def test_one_that_goes_makes_all_of_its_type_due() -> None:
    clock = Clock()
    held = HeldBack(clock)
    for place, name in enumerate(["one", "two", "three"]):
        held.hold(stored(place, name))
    held.hold(stored(3, "other", "probe.other.happened.v1"))
    assert held.went(stored(0, "one"))
    assert not held.went(stored(7, "never held"))
    assert held.waiting() == ["other"]
    assert len(held) == 3


def test_one_whose_message_left_the_outbox_by_another_way_is_forgotten() -> None:
    clock = Clock()
    held = HeldBack(clock)
    held.hold(stored(5, "gone"))
    held.hold(stored(50, "further on"))
    clock.seconds = 100.0
    held.forget_gone([stored(1, "a"), stored(9, "b")], left_out=[], is_all=False)
    assert len(held) == 1
    held.forget_gone([], left_out=["further on"], is_all=True)
    assert len(held) == 1, "what a read left out may well be there"
    held.forget_gone([], left_out=[], is_all=True)
    assert len(held) == 0
