"""The suites of publishers and brokers fail on those that are wrong on purpose."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from octoco.clock import SystemClock
from octoco.events import Event
from octoco.messaging.ports import Fate, always
from octoco.testing.conformance import BrokerConformance, PublisherConformance
from octoco.testing.memory_broker import MemoryChannel
from octoco.testing.memory_publisher import MemoryPublisher
from octoco.testing.memory_queues import MemoryQueue, QueuedMessage

from .failing_suites import failures
from .test_memory_conforms import MemoryBrokerGround

Patch = pytest.MonkeyPatch


def publisher_overtakes(patch: Patch) -> None:
    def publish(
        self: MemoryPublisher, events: Sequence[Event], *, may_wait: Any = always
    ) -> list[Fate]:
        return [self._publish(event) for event in events]

    patch.setattr(MemoryPublisher, "publish", publish)


def publisher_holds_everything_back(patch: Patch) -> None:
    publish = MemoryPublisher.publish

    def publish_until_trouble(
        self: MemoryPublisher, events: Sequence[Event], *, may_wait: Any = always
    ) -> list[Fate]:
        fates: list[Fate] = []
        for event in events:
            stuck = any(fate is not Fate.CONFIRMED for fate in fates)
            fates.append(Fate.HELD_BACK if stuck else publish(self, [event])[0])
        return fates

    patch.setattr(MemoryPublisher, "publish", publish_until_trouble)


def publisher_confirms_what_it_does(patch: Patch, *fates: Fate) -> None:
    publish = MemoryPublisher._publish

    def optimistic(self: MemoryPublisher, event: Event) -> Fate:
        fate = publish(self, event)
        return Fate.CONFIRMED if fate in fates else fate

    patch.setattr(MemoryPublisher, "_publish", optimistic)


def publisher_reverses(patch: Patch) -> None:
    publish = MemoryPublisher.publish

    def publish_backwards(
        self: MemoryPublisher, events: Sequence[Event], *, may_wait: Any = always
    ) -> list[Fate]:
        return publish(self, events[::-1])[::-1]

    patch.setattr(MemoryPublisher, "publish", publish_backwards)


def publisher_knows_repeats(patch: Patch) -> None:
    publish = MemoryPublisher._publish
    known: set[str] = set()

    def once(self: MemoryPublisher, event: Event) -> Fate:
        if event.id in known:
            return Fate.CONFIRMED
        known.add(event.id)
        return publish(self, event)

    patch.setattr(MemoryPublisher, "_publish", once)


def publisher_never_notices(patch: Patch) -> None:
    publish = MemoryPublisher._publish

    def hopeful(self: MemoryPublisher, event: Event) -> Fate:
        return publish(self, event) if self._broker.is_up else Fate.CONFIRMED

    patch.setattr(MemoryPublisher, "_publish", hopeful)


PUBLISHERS: Mapping[str, Callable[[Patch], object]] = {
    "overtakes": publisher_overtakes,
    "holds everything back": publisher_holds_everything_back,
    "confirms what was returned": lambda patch: publisher_confirms_what_it_does(
        patch, Fate.RETURNED
    ),
    "confirms what was refused": lambda patch: publisher_confirms_what_it_does(patch, Fate.REFUSED),
    "reverses": publisher_reverses,
    "swallows repeats": publisher_knows_repeats,
    "never notices that the broker is away": publisher_never_notices,
}


@pytest.mark.parametrize("wrong", PUBLISHERS)
def test_a_wrong_publisher_is_caught(wrong: str, monkeypatch: Patch) -> None:
    PUBLISHERS[wrong](monkeypatch)
    assert failures(PublisherConformance, MemoryBrokerGround)


def gives_back_at_the_end(patch: Patch) -> None:
    def give_back(self: MemoryQueue, messages: Sequence[QueuedMessage]) -> None:
        self.handed_out -= len(messages)
        for message in messages:
            message.delivery_count += 1
            self.ready.append(message)

    patch.setattr(MemoryQueue, "give_back", give_back)


def loses_what_is_not_acked(patch: Patch) -> None:
    patch.setattr(MemoryQueue, "give_back", lambda self, messages: None)


def counts_nothing(patch: Patch) -> None:
    give_back = MemoryQueue.give_back

    def give_back_uncounted(self: MemoryQueue, messages: Sequence[QueuedMessage]) -> None:
        give_back(self, messages)
        for message in messages:
            message.delivery_count = 0

    patch.setattr(MemoryQueue, "give_back", give_back_uncounted)


def has_no_prefetch(patch: Patch) -> None:
    patch.setattr(MemoryChannel, "basic_qos", lambda self, **_: None)


def expires_at_once(patch: Patch) -> None:
    put = MemoryQueue.put
    early = SystemClock().now().replace(year=2000)
    patch.setattr(MemoryQueue, "put", lambda self, message, now: put(self, message, now=early))


def never_expires(patch: Patch) -> None:
    patch.setattr(MemoryQueue, "expire", lambda self, now: None)
    patch.setattr("octoco.testing.conformance.broker.eventually", _at_once)


def _at_once(condition: Callable[[], Any], *, what: str) -> Any:
    found = condition()
    assert found, what
    return found


def takes_other_arguments(patch: Patch) -> None:
    declare = MemoryChannel.queue_declare

    def declare_anyhow(self: MemoryChannel, queue: str, **arguments: Any) -> Any:
        if queue in self._broker.queues:
            arguments = {"passive": True}
        return declare(self, queue, **arguments)

    patch.setattr(MemoryChannel, "queue_declare", declare_anyhow)


BROKERS: Mapping[str, Callable[[Patch], object]] = {
    "gives back at the end": gives_back_at_the_end,
    "loses what is not acked": loses_what_is_not_acked,
    "counts nothing": counts_nothing,
    "has no prefetch": has_no_prefetch,
    "expires at once": expires_at_once,
    "never expires": never_expires,
    "takes other arguments": takes_other_arguments,
}


@pytest.mark.parametrize("wrong", BROKERS)
def test_a_wrong_broker_is_caught(wrong: str, monkeypatch: Patch) -> None:
    monkeypatch.setattr("octoco.testing.conformance.broker.eventually", _at_once)
    BROKERS[wrong](monkeypatch)
    assert failures(BrokerConformance, MemoryBrokerGround)
