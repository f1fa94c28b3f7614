"""Tries within the process: for what passes in less than a second, before anything is moved."""

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

import tenacity

from octoco.errors import NotTried, Unavailable
from octoco.telemetry.metrics import EVENTS_TRIED_AGAIN

T = TypeVar("T")

TRIES: Final = 3
TRY_SECONDS: Final = 1.0
WAIT_SECONDS_MAX: Final = 0.4
# About as long as the first retry tier keeps what failed.
SICK_SECONDS: Final = 5.0


class Tries:
    """Runs work a few times, with jitter, as long as what it meets may pass at once.

    Passing is what is `Unavailable`: a refusal, a bug or an event that is too early would meet
    the same again. A type whose tries have all failed gets a single try for the next seconds: if
    what it needs is away for longer, waiting for it would hold up the other types' events.
    """

    def __init__(self) -> None:
        self._sick_until: dict[str, float] = {}

    def run(self, work: Callable[[], T], *, event_type: str, stop: threading.Event) -> T:
        """Do the work, and do it again if it meets passing trouble.

        Args:
            work: A whole unit of work.
            event_type: Of the event that it handles.
            stop: No other try is begun once it is set.

        Returns:
            What the work returned.

        Raises:
            Unavailable: every try met passing trouble.
            Exception: whatever else the work raised, at once.
        """
        if time.monotonic() < self._sick_until.get(event_type, 0.0):
            return work()
        tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass_at_once),
            stop=tenacity.stop_any(
                tenacity.stop_after_attempt(TRIES),
                tenacity.stop_before_delay(TRY_SECONDS),
                tenacity.stop_when_event_set(stop),
            ),
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=WAIT_SECONDS_MAX),
            sleep=tenacity.sleep_using_event(stop),
            before_sleep=lambda _: EVENTS_TRIED_AGAIN.labels(event_type=event_type).inc(),
            reraise=True,
        )
        try:
            return tries(work)
        except Unavailable:
            self._sick_until[event_type] = time.monotonic() + SICK_SECONDS
            raise


def _may_pass_at_once(error: BaseException) -> bool:
    # What an open circuit has turned away it would turn away again.
    return isinstance(error, Unavailable) and not isinstance(error, NotTried)
