"""The bookkeeping of a batch: order within an aggregate, a bounded window, and honest fates."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoco.events import Event
from octoco.messaging.confirms import Confirms
from octoco.messaging.ports import Fate

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def events_of(*aggregates: str) -> list[Event]:
    return [
        Event(f"msg_{place}", "probe.thing.happened.v1", "probe", name, NOON, {}, "cor")
        for place, name in enumerate(aggregates)
    ]


class Channel:
    """Sends whatever may be sent, and numbers it as a broker does."""

    def __init__(self, confirms: Confirms) -> None:
        self.confirms = confirms
        self.sent: list[str] = []
        self.send()

    def send(self) -> None:
        while (taken := self.confirms.take()) is not None:
            place, event = taken
            self.sent.append(event.id)
            self.confirms.sent(place, len(self.sent))

    def answer(self, tag: int, *, multiple: bool = False, confirmed: bool = True) -> None:
        self.confirms.answered(tag, multiple=multiple, confirmed=confirmed)
        self.send()


def test_what_is_sent_and_not_confirmed_never_exceeds_the_window() -> None:
    channel = Channel(Confirms(events_of(*"abcdefgh"), window=3))
    assert channel.sent == ["msg_0", "msg_1", "msg_2"]
    channel.answer(2)
    assert channel.sent == ["msg_0", "msg_1", "msg_2", "msg_3"]
    assert channel.confirms.in_flight == 3


def test_the_next_of_an_aggregate_is_sent_when_the_one_before_is_confirmed() -> None:
    channel = Channel(Confirms(events_of("a", "a", "b", "a"), window=10))
    assert channel.sent == ["msg_0", "msg_2"]
    channel.answer(1)
    assert channel.sent == ["msg_0", "msg_2", "msg_1"]


@pytest.mark.parametrize("is_returned", [True, False])
def test_what_follows_one_that_was_not_taken_is_not_sent(is_returned: bool) -> None:  # noqa: FBT001
    confirms = Confirms(events_of("a", "a", "b", "a"), window=10)
    channel = Channel(confirms)
    if is_returned:
        confirms.returned("msg_0")
    channel.answer(1, confirmed=is_returned)
    channel.answer(2)
    assert channel.sent == ["msg_0", "msg_2"]
    assert confirms.are_complete
    first = Fate.RETURNED if is_returned else Fate.REFUSED
    assert confirms.fates() == [first, Fate.HELD_BACK, Fate.CONFIRMED, Fate.HELD_BACK]


def test_one_answer_may_speak_of_all_before_it() -> None:
    confirms = Confirms(events_of("a", "b", "c", "d"), window=10)
    channel = Channel(confirms)
    channel.answer(3, multiple=True)
    assert not confirms.are_complete
    assert confirms.in_flight == 1
    channel.answer(4)
    assert confirms.fates() == [Fate.CONFIRMED] * 4


def test_an_answer_to_what_is_not_in_flight_changes_nothing() -> None:
    confirms = Confirms(events_of("a"), window=10)
    channel = Channel(confirms)
    channel.answer(7)
    assert not confirms.are_complete
    channel.answer(1)
    channel.answer(1, confirmed=False)
    assert confirms.fates() == [Fate.CONFIRMED]


def test_one_that_cannot_be_written_is_refused_and_stops_no_other_aggregate() -> None:
    confirms = Confirms(events_of("a", "a", "b"), window=10)
    taken = confirms.take()
    assert taken is not None
    confirms.not_sent(taken[0])
    Channel(confirms).answer(1)
    assert confirms.fates() == [Fate.REFUSED, Fate.HELD_BACK, Fate.CONFIRMED]


@given(
    aggregates=st.lists(st.sampled_from("abc"), min_size=1, max_size=30),
    window=st.integers(1, 8),
    answers=st.lists(st.tuples(st.integers(0, 7), st.booleans(), st.booleans()), max_size=200),
)
def test_whatever_the_broker_answers_the_order_within_an_aggregate_holds(
    aggregates: list[str], window: int, answers: Sequence[tuple[int, bool, bool]]
) -> None:
    events = events_of(*aggregates)
    confirms = Confirms(events, window=window)
    channel = Channel(confirms)
    open_tags = list(range(1, len(channel.sent) + 1))
    for which, multiple, confirmed in [*answers, *[(0, False, True)] * len(events)]:
        assert confirms.in_flight <= window
        if not open_tags:
            break
        tag = open_tags[which % len(open_tags)]
        done = [one for one in open_tags if one == tag or (multiple and one < tag)]
        before = len(channel.sent)
        channel.answer(tag, multiple=multiple, confirmed=confirmed)
        open_tags = [one for one in open_tags if one not in done]
        open_tags += range(before + 1, len(channel.sent) + 1)
    assert confirms.are_complete
    assert confirms.in_flight == 0
    fates = dict(zip([event.id for event in events], confirms.fates(), strict=True))
    for name in set(aggregates):
        chain = [event.id for event in events if event.aggregate_id == name]
        assert [one for one in channel.sent if one in chain] == chain[: _sent(chain, fates)]
        taken = [fates[one] is Fate.CONFIRMED for one in chain]
        assert taken == sorted(taken, reverse=True), "nothing is taken after one that was not"


def _sent(chain: list[str], fates: dict[str, Fate]) -> int:
    return sum(fates[one] is not Fate.HELD_BACK for one in chain)
