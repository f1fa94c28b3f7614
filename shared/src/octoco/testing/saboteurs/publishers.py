"""Publishers to a broker that repeats, reorders, delays, and falls silent before it confirms."""

from collections.abc import Callable, Sequence

from octoco.events import Event
from octoco.messaging.ports import BrokerUnavailable, Fate, Publisher, always
from octoco.testing.saboteurs.chances import Chances, shuffled


class Duplicator:
    """A publisher after which the broker has some events twice.

    Args:
        publisher: Publishes.
        chances: Decide which.
        one_in: Of how many events one comes again.
    """

    def __init__(self, publisher: Publisher, chances: Chances, *, one_in: int = 5) -> None:
        self._publisher = publisher
        self._chances = chances
        self._one_in = one_in

    def publish(
        self, events: Sequence[Event], *, may_wait: Callable[[], bool] = always
    ) -> list[Fate]:
        fates = self._publisher.publish(events, may_wait=may_wait)
        again = [
            event
            for event, fate in zip(events, fates, strict=True)
            if fate is Fate.CONFIRMED and self._chances.happens(self._one_in)
        ]
        self._publisher.publish(again, may_wait=may_wait)
        return fates

    def close(self) -> None:
        self._publisher.close()


class Reorderer:
    """A publisher that sends events in another order than it was given.

    Args:
        publisher: Publishes.
        chances: Decide the order.
        is_fair: Events of one aggregate keep their order, as they do on every broker of ours;
            without that, nothing keeps its order, as after a replay of dead messages.
    """

    def __init__(self, publisher: Publisher, chances: Chances, *, is_fair: bool = True) -> None:
        self._publisher = publisher
        self._chances = chances
        self._is_fair = is_fair

    def publish(
        self, events: Sequence[Event], *, may_wait: Callable[[], bool] = always
    ) -> list[Fate]:
        places = shuffled(
            range(len(events)),
            chances=self._chances,
            kept_in_order=lambda place: events[place].aggregate_id if self._is_fair else None,
        )
        fates = self._publisher.publish([events[place] for place in places], may_wait=may_wait)
        by_place = dict(zip(places, fates, strict=True))
        return [by_place[place] for place in range(len(events))]

    def close(self) -> None:
        self._publisher.close()


class Delayer:
    """A publisher that takes its time before it sends, and before it says what it knows.

    Args:
        publisher: Publishes.
        chances: Decide how long.
        pause: Lets so many seconds pass: `time.sleep`, or a virtual clock's.
        seconds_max: Longest pause.
        one_in: Of how many calls one is delayed.
    """

    def __init__(
        self,
        publisher: Publisher,
        chances: Chances,
        *,
        pause: Callable[[float], object],
        seconds_max: float = 1.0,
        one_in: int = 5,
    ) -> None:
        self._publisher = publisher
        self._chances = chances
        self._pause = pause
        self._seconds_max = seconds_max
        self._one_in = one_in

    def publish(
        self, events: Sequence[Event], *, may_wait: Callable[[], bool] = always
    ) -> list[Fate]:
        self._perhaps_pause()
        fates = self._publisher.publish(events, may_wait=may_wait)
        self._perhaps_pause()
        return fates

    def close(self) -> None:
        self._publisher.close()

    def _perhaps_pause(self) -> None:
        if self._chances.happens(self._one_in):
            self._pause(self._chances.random.uniform(0, self._seconds_max))


class DropBeforeConfirm:
    """A publisher whose connection breaks when some events are sent and none is confirmed.

    Args:
        publisher: Publishes.
        chances: Decide when, and how many have got through.
        one_in: Of how many calls one breaks.
    """

    def __init__(self, publisher: Publisher, chances: Chances, *, one_in: int = 5) -> None:
        self._publisher = publisher
        self._chances = chances
        self._one_in = one_in

    def publish(
        self, events: Sequence[Event], *, may_wait: Callable[[], bool] = always
    ) -> list[Fate]:
        if events and self._chances.happens(self._one_in):
            sent = self._chances.random.randint(0, len(events))
            self._publisher.publish(events[:sent], may_wait=may_wait)
            self._publisher.close()
            raise BrokerUnavailable("The connection broke before a confirm came.")
        return self._publisher.publish(events, may_wait=may_wait)

    def close(self) -> None:
        self._publisher.close()
