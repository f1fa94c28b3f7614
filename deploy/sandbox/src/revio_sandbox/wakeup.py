"""How a commit wakes the threads that wait for work."""

import threading

WAIT_SECONDS_MAX = 5.0


class Wakeup:
    """Counts signals, so that one given between looking for work and waiting is not lost."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._signals = 0
        self._stopping = False

    @property
    def stopping(self) -> bool:
        """Whether the threads should end."""
        return self._stopping

    def seen(self) -> int:
        """Return the signals so far; take it before looking for work."""
        return self._signals

    def wait(self, seen: int, *, timeout_seconds: float | None) -> None:
        """Wait for a signal after `seen`, for the time given, but never long."""
        bound = WAIT_SECONDS_MAX if timeout_seconds is None else timeout_seconds
        with self._condition:
            self._condition.wait_for(
                lambda: self._stopping or self._signals != seen,
                timeout=min(max(bound, 0.001), WAIT_SECONDS_MAX),
            )

    def signal(self) -> None:
        """Wake every waiting thread."""
        with self._condition:
            self._signals += 1
            self._condition.notify_all()

    def stop(self) -> None:
        """Wake every waiting thread for good."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
