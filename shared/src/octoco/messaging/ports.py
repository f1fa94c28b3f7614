"""What the relay asks of a broker: say of each event what became of it."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

from octoco.errors import Unavailable
from octoco.events import Event


class BrokerUnavailable(Unavailable):
    """The broker is away, or has not answered in time; what was sent may or may not be there."""

    code = "broker_unavailable"


class Fate(StrEnum):
    """What became of an event that was to be published."""

    CONFIRMED = "confirmed"
    RETURNED = "returned"  # no queue took it
    REFUSED = "refused"  # the broker could not store it
    HELD_BACK = "held_back"  # not sent: an earlier one of its aggregate was not confirmed


def always() -> bool:
    """Wait as long as it takes."""
    return True


class Publisher(Protocol):
    """Publishes events persistent and mandatory; called from one thread at a time."""

    def publish(
        self, events: Sequence[Event], *, may_wait: Callable[[], bool] = always
    ) -> list[Fate]:
        """Publish events and wait until each one's fate is known.

        Of one aggregate at most one event is on its way at any time, in the order given: the next
        one is sent when the one before is confirmed, and is held back when it is not.

        Args:
            events: Any number, several of one aggregate among them.
            may_wait: Asked about once a second, in the caller's thread, while fates are not known;
                no more is sent and the rest is given up when it says no.

        Returns:
            A fate for each event, in their order.

        Raises:
            BrokerUnavailable: the connection is away, broke, or was given up; nothing is known of
                the events, and what was sent may arrive all the same.
        """
        ...

    def close(self) -> None:
        """Let go of the broker; the next `publish` connects again."""
        ...
