"""A circuit breaker: a provider that is down is not asked by everybody all the time.

Written here because the known library (pybreaker) holds a lock during the guarded call, which
would let through one call at a time.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

FAILURES_UNTIL_OPEN: Final = 5
OPEN_SECONDS: Final = 15.0


class CircuitBreaker:
    """Lets calls pass until several failed in a row, then none, then one whose result decides.

    Args:
        monotonic: Seconds of a clock that never goes back.
        on_change: Told whether the circuit is open now.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        on_change: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._monotonic = monotonic
        self._on_change = on_change
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._probe_until = 0.0

    def allows(self) -> bool:
        """Tell whether a call may be made now; in the half-open state this takes the one turn."""
        with self._lock:
            now = self._monotonic()
            if self._opened_at is None:
                return True
            if now - self._opened_at < OPEN_SECONDS or now < self._probe_until:
                return False
            # A probe that never reports back gives up its turn after the same time.
            self._probe_until = now + OPEN_SECONDS
            return True

    def succeeded(self) -> None:
        with self._lock:
            changed = self._opened_at is not None
            self._failures, self._opened_at, self._probe_until = 0, None, 0.0
        if changed:
            self._on_change(False)

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            opens = self._failures >= FAILURES_UNTIL_OPEN
            if opens:
                self._opened_at, self._probe_until = self._monotonic(), 0.0
        if opens:
            self._on_change(True)
