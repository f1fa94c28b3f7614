"""What the threads of a process have in hand, and for how long."""

import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Overdue:
    """Work that has been in hand for too long.

    Args:
        what: Is in hand.
        seconds: For how long.
        stack: Where its thread is now.
    """

    what: str
    seconds: float
    stack: str


class Watch:
    """Knows which thread is at what, and since when.

    A thread cannot be stopped from outside, and one that never returns holds its locks and its
    database connection. Whoever asks for what is overdue therefore ends the process: what it has
    in hand comes again, elsewhere.

    Args:
        seconds_max: After this long, work counts as overdue.
    """

    def __init__(self, *, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        self._begun: dict[int, tuple[str, float]] = {}

    @contextmanager
    def over(self, what: str) -> Iterator[None]:
        """Watch what the current thread does in the block, which nobody else watches yet."""
        thread = threading.get_ident()
        self._begun[thread] = (what, time.monotonic())
        try:
            yield
        finally:
            del self._begun[thread]

    def overdue(self) -> list[Overdue]:
        """Return what has been in hand for too long, with where it hangs."""
        now = time.monotonic()
        frames = None
        found = []
        for thread, (what, began) in self._begun.copy().items():
            if now - began <= self._seconds_max:
                continue
            frames = frames or sys._current_frames()  # noqa: SLF001 - the only way to ask
            frame = frames.get(thread)
            stack = "".join(traceback.format_stack(frame)) if frame else ""
            found.append(Overdue(what, now - began, stack))
        return found
