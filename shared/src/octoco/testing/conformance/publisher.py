"""What every publisher keeps to."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

import pytest

from octoco.events import Event
from octoco.messaging.ports import BrokerUnavailable, Fate, Publisher
from octoco.testing.conformance.probe import Happened, Unheard, event_of, numbers


class PublisherGround(Protocol):
    """What the suite stands on: an exchange of its own and a publisher to it."""

    @property
    def publisher(self) -> Publisher: ...

    def bind(self, queue: str, pattern: str) -> None:
        """Make a queue if need be, and bind it to the exchange.

        Args:
            queue: A short name.
            pattern: Of routing keys.
        """
        ...

    def bind_full_queue(self, event_type: str) -> None:
        """Bind a queue that refuses whatever it is sent."""
        ...

    def stored(self, queue: str) -> Sequence[Event]:
        """Return what a queue holds, in its order."""
        ...

    def broker_away(self) -> AbstractContextManager[object]:
        """Let the publisher not reach the broker for the block, and reach it again after it."""
        ...


class PublisherConformance:
    """Subclass it as `Test...`, with a fixture `ground` that returns a `PublisherGround`."""

    def test_nothing_to_publish_has_no_fates(self, ground: PublisherGround) -> None:
        assert ground.publisher.publish([]) == []

    def test_what_is_confirmed_is_stored_as_it_was_in_every_queue_bound_to_it(
        self, ground: PublisherGround
    ) -> None:
        ground.bind("first", Happened.TYPE)
        ground.bind("second", Happened.TYPE)
        event = event_of(Happened("one", 1))
        assert ground.publisher.publish([event]) == [Fate.CONFIRMED]
        assert list(ground.stored("first")) == [event]
        assert list(ground.stored("second")) == [event]

    @pytest.mark.parametrize("pattern", ["probe.#", "probe.thing.happened.v1", "*.thing.*.v1", "#"])
    def test_a_pattern_that_fits_takes_it(self, ground: PublisherGround, pattern: str) -> None:
        ground.bind("queue", pattern)
        assert ground.publisher.publish([event_of(Happened("one", 1))]) == [Fate.CONFIRMED]
        assert len(ground.stored("queue")) == 1

    @pytest.mark.parametrize("pattern", ["probe.*", "probe.thing.happened", "*.happened.v1", "v1"])
    def test_what_no_queue_takes_is_returned(self, ground: PublisherGround, pattern: str) -> None:
        ground.bind("queue", pattern)
        assert ground.publisher.publish([event_of(Happened("one", 1))]) == [Fate.RETURNED]
        assert list(ground.stored("queue")) == []

    def test_a_queue_bound_twice_gets_it_once(self, ground: PublisherGround) -> None:
        ground.bind("queue", "probe.#")
        ground.bind("queue", Happened.TYPE)
        assert ground.publisher.publish([event_of(Happened("one", 1))]) == [Fate.CONFIRMED]
        assert len(ground.stored("queue")) == 1

    def test_events_of_an_aggregate_are_stored_in_order(self, ground: PublisherGround) -> None:
        ground.bind("queue", Happened.TYPE)
        events = [event_of(Happened(f"thing {n % 3}", n)) for n in range(30)]
        assert ground.publisher.publish(events) == [Fate.CONFIRMED] * 30
        stored = ground.stored("queue")
        for thing in range(3):
            assert numbers(stored, f"thing {thing}") == list(range(thing, 30, 3))

    def test_a_return_holds_back_what_follows_of_its_aggregate_and_nothing_else(
        self, ground: PublisherGround
    ) -> None:
        ground.bind("queue", Happened.TYPE)
        fates = ground.publisher.publish(
            [
                event_of(Happened("one", 1)),
                event_of(Unheard("one", 2)),
                event_of(Happened("other", 1)),
                event_of(Happened("one", 3)),
                event_of(Happened("other", 2)),
                event_of(Unheard("one", 4)),
            ]
        )
        kept, returned, held_back = Fate.CONFIRMED, Fate.RETURNED, Fate.HELD_BACK
        assert fates == [kept, returned, kept, held_back, kept, held_back]
        stored = ground.stored("queue")
        assert (numbers(stored, "one"), numbers(stored, "other")) == ([1], [1, 2])

    def test_a_refusal_holds_back_what_follows_of_its_aggregate_and_nothing_else(
        self, ground: PublisherGround
    ) -> None:
        ground.bind("queue", Happened.TYPE)
        ground.bind_full_queue(Unheard.TYPE)
        fates = ground.publisher.publish(
            [
                event_of(Unheard("one", 1)),
                event_of(Happened("one", 2)),
                event_of(Happened("other", 1)),
            ]
        )
        assert fates == [Fate.REFUSED, Fate.HELD_BACK, Fate.CONFIRMED]
        assert numbers(ground.stored("queue"), "one") == []

    def test_one_that_cannot_be_written_is_refused_and_breaks_nothing(
        self, ground: PublisherGround
    ) -> None:
        ground.bind("queue", Happened.TYPE)
        unwritable = replace(event_of(Happened("one", 1)), causation_id="q" * 140_000)
        fates = ground.publisher.publish(
            [unwritable, event_of(Happened("one", 2)), event_of(Happened("other", 1))]
        )
        assert fates == [Fate.REFUSED, Fate.HELD_BACK, Fate.CONFIRMED]

    def test_what_is_published_twice_is_stored_twice(self, ground: PublisherGround) -> None:
        ground.bind("queue", Happened.TYPE)
        event = event_of(Happened("one", 1))
        assert ground.publisher.publish([event]) == [Fate.CONFIRMED]
        assert ground.publisher.publish([event]) == [Fate.CONFIRMED]
        assert list(ground.stored("queue")) == [event, event]

    def test_a_broker_that_is_away_is_no_fate_and_the_next_call_finds_it_again(
        self, ground: PublisherGround
    ) -> None:
        ground.bind("queue", Happened.TYPE)
        first, second = event_of(Happened("one", 1)), event_of(Happened("one", 2))
        assert ground.publisher.publish([first]) == [Fate.CONFIRMED]
        with ground.broker_away(), pytest.raises(BrokerUnavailable):
            ground.publisher.publish([second])
        assert ground.publisher.publish([second]) == [Fate.CONFIRMED]
        assert numbers(ground.stored("queue"), "one") == [1, 2]

    def test_a_publisher_that_was_closed_connects_again(self, ground: PublisherGround) -> None:
        ground.bind("queue", Happened.TYPE)
        for n in (1, 2):
            assert ground.publisher.publish([event_of(Happened("one", n))]) == [Fate.CONFIRMED]
            ground.publisher.close()
        assert numbers(ground.stored("queue"), "one") == [1, 2]
