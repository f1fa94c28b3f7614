"""The sandbox as a whole: store, clock, keys, and the threads that act by themselves."""

from collections.abc import Iterator
from contextlib import contextmanager

from revio_sandbox.clock import SandboxClock
from revio_sandbox.config import Settings
from revio_sandbox.delivering import DeliveryThread
from revio_sandbox.keys import COMPANY, Keys
from revio_sandbox.store import Store
from revio_sandbox.timekeeping import TimerThread
from revio_sandbox.unit import Unit
from revio_sandbox.wakeup import Wakeup


class Sandbox:
    """Owns everything that lives as long as the process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings.data_dir / "sandbox.sqlite3")
        self.keys = Keys(settings.data_dir / "keys", bits=settings.key_bits)
        self.wakeup = Wakeup()
        self.clock = self._remembered_clock()
        self._deliveries = DeliveryThread(self)
        self._timers = TimerThread(self)

    @contextmanager
    def unit(self) -> Iterator[Unit]:
        """Open a unit of work; the threads look for what it gave them once it has committed."""
        with self.store.transaction() as connection:
            unit = Unit(
                connection, settings=self.settings, now=self.clock.now(), scale=self.clock.scale
            )
            yield unit
        if unit.deliveries.changed or unit.timers.changed:
            self.wakeup.signal()

    def start(self) -> None:
        """Start delivering webhooks and keeping timers, from where the last process stopped."""
        self.keys.public_pem(COMPANY)
        self._deliveries.start()
        self._timers.start()

    def stop(self) -> None:
        """Stop the threads and close the store; an attempt under way is made again next time."""
        self.wakeup.stop()
        self._deliveries.join()
        self._timers.join()
        self.store.close()

    def advance_clock(self, seconds: float) -> None:
        """Move the clock forward; retries and timers that become due happen at once."""
        self.clock.advance(seconds)
        self._remember_clock()

    def scale_clock(self, scale: float) -> None:
        """Divide retry intervals that are set from now on by `scale`."""
        self.clock.set_scale(scale)
        self._remember_clock()

    def reset_clock(self) -> None:
        """Return to real time and the configured scale."""
        self.clock.reset(scale=self.settings.clock_scale)
        self._remember_clock()

    def _remembered_clock(self) -> SandboxClock:
        with self.store.transaction() as connection:
            unit = Unit(connection, settings=self.settings, now=0, scale=1)
            offset = float(unit.setting("clock_offset_seconds", "0"))
            scale = float(unit.setting("clock_scale", str(self.settings.clock_scale)))
        return SandboxClock(offset_seconds=offset, scale=scale)

    def _remember_clock(self) -> None:
        with self.unit() as unit:
            unit.remember("clock_offset_seconds", str(self.clock.offset_seconds))
            if self.clock.scale == self.settings.clock_scale:
                unit.connection.execute("DELETE FROM settings WHERE name = 'clock_scale'")
            else:
                unit.remember("clock_scale", str(self.clock.scale))
        self.wakeup.signal()
