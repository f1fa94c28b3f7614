"""The thread that lets timers happen when they are due."""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from revio_sandbox import payouts, purchases, refunds
from revio_sandbox.timers import Timer
from revio_sandbox.unit import Unit

if TYPE_CHECKING:
    from revio_sandbox.sandbox import Sandbox

logger = logging.getLogger(__name__)

HAPPENINGS: dict[str, Callable[[Unit, Timer], None]] = {
    purchases.FINISH: purchases.finish,
    refunds.FINISH: refunds.finish,
    payouts.FINISH: payouts.finish,
}


class TimerThread:
    """Takes timers one by one; each happens in the unit of work that removes it."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._thread = threading.Thread(target=self._work, name="timers", daemon=True)

    def start(self) -> None:
        """Start keeping time."""
        self._thread.start()

    def join(self) -> None:
        """Wait until the thread has ended; `Wakeup.stop` makes it."""
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        wakeup = self._sandbox.wakeup
        while not wakeup.stopping:
            seen = wakeup.seen()
            try:
                wait_seconds = self._happen()
            except Exception:
                # The edge of the process: a thread that ends would leave payouts pending forever.
                logger.exception("timer thread failed and goes on")
                wait_seconds = 1.0
            if wait_seconds != 0.0:
                wakeup.wait(seen, timeout_seconds=wait_seconds)

    def _happen(self) -> float | None:
        """Let one timer happen; returns 0 to look again at once, else how long to wait."""
        with self._sandbox.unit() as unit:
            timer = unit.timers.pop_due()
            if timer is None:
                next_at = unit.timers.next_due_at()
                return None if next_at is None else max(next_at - unit.now, 0.001)
            HAPPENINGS[timer.kind](unit, timer)
        return 0.0
