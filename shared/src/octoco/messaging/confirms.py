"""Which events of a batch are on their way, which may go next, and what became of each.

Nothing here reads or writes: the publisher tells what it sent and what the broker answered.
"""

from collections import deque
from collections.abc import Sequence

from octoco.events import Event
from octoco.messaging.ports import Fate


class Confirms:
    """The bookkeeping of one batch, for one thread.

    Of one aggregate at most one event is in flight, in the order given, because a broker may
    return or refuse an event and still take the one that was sent after it. Never more than
    `window` events are in flight at all.

    Args:
        events: The batch.
        window: Most events sent and not answered.
    """

    def __init__(self, events: Sequence[Event], *, window: int) -> None:
        assert window > 0
        self._events = events
        self._window = window
        self._fates: dict[int, Fate] = {}
        self._ready: deque[int] = deque()
        self._followers: dict[int, int] = {}
        # By delivery tag, in their order: tags are given in the order of sending.
        self._in_flight: dict[int, int] = {}
        self._returned: set[str] = set()
        newest: dict[str, int] = {}
        for place, event in enumerate(events):
            before = newest.get(event.aggregate_id)
            if before is None:
                self._ready.append(place)
            else:
                self._followers[before] = place
            newest[event.aggregate_id] = place

    @property
    def in_flight(self) -> int:
        """How many events were sent and not answered."""
        return len(self._in_flight)

    @property
    def are_complete(self) -> bool:
        return len(self._fates) == len(self._events)

    def fates(self) -> list[Fate]:
        """Return each event's fate, in their order, once they are complete."""
        return [self._fates[place] for place in range(len(self._events))]

    def take(self) -> tuple[int, Event] | None:
        """Return an event that may be sent now, with its place in the batch.

        It counts as neither ready nor in flight until `sent` or `not_sent` is called.

        Returns:
            None if the window is full, or if all that is left waits for an answer.
        """
        if not self._ready or len(self._in_flight) >= self._window:
            return None
        place = self._ready.popleft()
        return place, self._events[place]

    def sent(self, place: int, tag: int) -> None:
        """Say that an event was sent, as the channel's message number `tag`."""
        self._in_flight[tag] = place

    def not_sent(self, place: int) -> None:
        """Say that an event cannot even be written; it counts as refused."""
        self._settle(place, Fate.REFUSED)

    def returned(self, event_id: str) -> None:
        """Say that no queue took an event; the broker's confirm of it is yet to come."""
        self._returned.add(event_id)

    def answered(self, tag: int, *, multiple: bool, confirmed: bool) -> None:
        """Say what the broker answered.

        Args:
            tag: The message's number; one that is not in flight changes nothing.
            multiple: Whether it speaks of all up to and including `tag`.
            confirmed: Whether it stands for them, or refuses them.
        """
        for one in self._up_to(tag) if multiple else [tag]:
            place = self._in_flight.pop(one, None)
            if place is None:
                continue
            fate = Fate.CONFIRMED if confirmed else Fate.REFUSED
            if confirmed and self._events[place].id in self._returned:
                fate = Fate.RETURNED
            self._settle(place, fate)

    def _up_to(self, tag: int) -> list[int]:
        tags = []
        for one in self._in_flight:
            if one > tag:
                break
            tags.append(one)
        return tags

    def _settle(self, place: int, fate: Fate) -> None:
        self._fates[place] = fate
        follower = self._followers.get(place)
        if fate is Fate.CONFIRMED:
            if follower is not None:
                # Before the others: what is left of a chain takes a round trip each.
                self._ready.appendleft(follower)
            return
        while follower is not None:
            self._fates[follower] = Fate.HELD_BACK
            follower = self._followers.get(follower)
