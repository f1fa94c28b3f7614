"""A publisher to the broker in memory."""

from collections.abc import Callable, Sequence
from typing import Final

from octoco.events import Event
from octoco.messaging.ports import BrokerUnavailable, Fate, always
from octoco.messaging.wire import MalformedMessage, to_properties
from octoco.testing.memory_broker import MemoryBroker
from octoco.testing.memory_queues import QueuedMessage

_UNSENT: Final = frozenset({Fate.RETURNED, Fate.REFUSED, Fate.HELD_BACK})


class MemoryPublisher:
    """See `octoco.messaging.ports.Publisher`.

    Args:
        broker: Where to.
        exchange: To which exchange of it.
    """

    def __init__(self, broker: MemoryBroker, *, exchange: str) -> None:
        self._broker = broker
        self._exchange = exchange

    def publish(
        self,
        events: Sequence[Event],
        *,
        may_wait: Callable[[], bool] = always,  # noqa: ARG002 - every fate is known at once
    ) -> list[Fate]:
        fates: list[Fate] = []
        stuck: set[str] = set()
        for event in events:
            if event.aggregate_id in stuck:
                fates.append(Fate.HELD_BACK)
                continue
            fate = self._publish(event)
            if fate in _UNSENT:
                stuck.add(event.aggregate_id)
            fates.append(fate)
        return fates

    def close(self) -> None:
        """Let go of the broker, which knows nothing of who publishes."""

    def _publish(self, event: Event) -> Fate:
        if not self._broker.is_up:
            raise BrokerUnavailable("The broker is stopped.")
        try:
            if self._broker.is_refused(self._exchange, event.type):
                return Fate.REFUSED
            properties, body = to_properties(event)
            message = QueuedMessage(self._exchange, event.type, properties, body)
            return Fate.CONFIRMED if self._broker.publish(message) else Fate.RETURNED
        except MalformedMessage:
            return Fate.REFUSED
        except KeyError as error:
            raise BrokerUnavailable("The exchange is gone.") from error
