"""Aggregates whose next message the broker would not take, and when each is tried again."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from octoco.outbox.ports import StoredEvent

FIRST_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 60.0
_SPREAD: Final = 0.2


@dataclass(slots=True)
class _Held:
    place: int
    event_type: str
    wait_seconds: float
    due_at: float


class HeldBack:
    """What the relay leaves out of its reads; nothing is held back for good.

    The wait doubles with each failure, up to a minute, so that thousands that no queue takes cost
    little. As soon as one of a type gets through, all of that type are due.

    Args:
        now: Monotonic seconds; None is `time.monotonic`, or what stands in its place by then.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now or time.monotonic
        self._held: dict[str, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def waiting(self) -> list[str]:
        """Return the aggregates that are not to be tried yet."""
        now = self._now()
        return [name for name, held in self._held.items() if held.due_at > now]

    def hold(self, stored: StoredEvent) -> bool:
        """Hold an aggregate back from now on.

        Returns:
            Whether it is new here; False after another try that failed.
        """
        before = self._held.get(stored.event.aggregate_id)
        wait = FIRST_SECONDS if before is None else min(LONGEST_SECONDS, 2 * before.wait_seconds)
        due_at = self._now() + wait * random.uniform(1 - _SPREAD, 1 + _SPREAD)
        self._held[stored.event.aggregate_id] = _Held(stored.id, stored.event.type, wait, due_at)
        return before is None

    def went(self, stored: StoredEvent) -> bool:
        """Say that a message was confirmed.

        Returns:
            Whether its aggregate was held back until now.
        """
        if not self._held:
            return False
        held = self._held.pop(stored.event.aggregate_id, None)
        if held is not None:
            for other in self._held.values():
                if other.event_type == held.event_type:
                    other.due_at = self._now()
        return held is not None

    def forget_gone(
        self, read: Sequence[StoredEvent], *, left_out: Sequence[str], is_all: bool
    ) -> None:
        """Forget aggregates whose message has left the outbox by another way.

        Args:
            read: The oldest events, in the order of their places.
            left_out: The aggregates that this read left out.
            is_all: Whether there were no more.
        """
        if not self._held:
            return
        there = {stored.event.aggregate_id for stored in read} | set(left_out)
        last = read[-1].id if read else 0
        for name, held in list(self._held.items()):
            if name not in there and (is_all or held.place <= last):
                del self._held[name]
