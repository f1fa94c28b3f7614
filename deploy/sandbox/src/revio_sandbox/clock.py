"""The sandbox's clock: real time plus what control advanced it by."""

import threading
import time


class SandboxClock:
    """Tells the time to every part of the sandbox; only control moves it.

    Moving it never goes backwards, so that `updated_on` and retry times keep their order.
    """

    def __init__(self, *, offset_seconds: float = 0.0, scale: float = 1.0) -> None:
        self._lock = threading.Lock()
        self._offset_seconds = offset_seconds
        self._scale = scale

    def now(self) -> float:
        """Return the sandbox's time as unix seconds."""
        return time.time() + self._offset_seconds

    @property
    def scale(self) -> float:
        """What retry intervals and the refund limit are divided by."""
        return self._scale

    @property
    def offset_seconds(self) -> float:
        """How far the clock was advanced."""
        return self._offset_seconds

    def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds`, which must not be negative."""
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        with self._lock:
            self._offset_seconds += seconds

    def set_scale(self, scale: float) -> None:
        """Divide retry intervals by `scale`, which must be greater than 0, from now on."""
        if not scale > 0:
            raise ValueError("the scale must be greater than 0")
        with self._lock:
            self._scale = scale

    def reset(self, *, scale: float) -> None:
        """Forget every advance and take `scale` again."""
        with self._lock:
            self._offset_seconds = 0.0
            self._scale = scale
