"""Leases in hand: renewed while their calls run, and looked at again by who has slept."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog

from octoco.errors import Unavailable
from octoco.intents.leases import IntentLeases, LeasedIntent
from octoco.telemetry.metrics import INTENT_CALLS_OVERLONG

# Three renewals may fail before the lease ends.
_RENEWALS_A_LEASE: Final = 4


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant on two clocks, of which one stands still while a machine sleeps or jumps."""

    monotonic: float
    wall: float

    @classmethod
    def now(cls) -> "Moment":
        return cls(time.monotonic(), time.time())

    def seconds_ago(self) -> float:
        """Return how long ago it was, the longer one if the clocks do not agree."""
        return max(time.monotonic() - self.monotonic, time.time() - self.wall)


class LeaseRenewal:
    """Keeps the leases of one executor from running out under calls that take long.

    Args:
        leases: Where they are.
        lease_seconds: How long a lease lasts that nobody renews.
        call_seconds_max: A call that takes longer counts as hung: its lease is renewed no more, so
            that another executor takes the intent over, with `was_begun`.
    """

    def __init__(
        self, leases: IntentLeases[Any], *, lease_seconds: float, call_seconds_max: float
    ) -> None:
        self._leases = leases
        self._lease_seconds = lease_seconds
        self._call_seconds_max = call_seconds_max
        self._lock = threading.Lock()
        self._held: dict[tuple[str, str, int], tuple[LeasedIntent, Moment]] = {}
        self._log = structlog.get_logger("octoco.intents")

    @contextmanager
    def held(self, leased: LeasedIntent, *, since: Moment) -> Iterator[None]:
        """Renew a lease for as long as the block runs, or until its call counts as hung.

        Args:
            leased: Which.
            since: Before it was asked for.
        """
        key = (leased.intent.kind, leased.intent.subject_id, leased.lease)
        with self._lock:
            self._held[key] = (leased, since)
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(key, None)

    def is_ours_still(self, leased: LeasedIntent, *, since: Moment) -> bool:
        """Say whether a call may be begun, and ask where leases are if that is not certain.

        A process that was stopped, or whose machine slept, finds here that others went on.

        Args:
            leased: Which.
            since: Before it was asked for.

        Raises:
            Unavailable: it is not certain, and the database is away.
        """
        if since.seconds_ago() < self._lease_seconds / 2:
            return True
        # The renewing thread has slept as long, and may be at the same row in this moment.
        return bool(self._leases.renew([leased], lease_seconds=self._lease_seconds, waits=True))

    def run(self, stop: threading.Event) -> None:
        """Renew what is held again and again until `stop` is set."""
        while not stop.wait(self._lease_seconds / _RENEWALS_A_LEASE):
            try:
                self._renew_all()
            except Unavailable as error:
                self._log.warning("leases_wait_for_database", error=error.message)
            except Exception:  # noqa: BLE001 - without this thread every long call would be overtaken
                self._log.exception("lease_renewal_failed")

    def _renew_all(self) -> None:
        with self._lock:
            overlong = [
                key
                for key, (_, since) in self._held.items()
                # A wall clock that is put forward makes no call hang.
                if time.monotonic() - since.monotonic > self._call_seconds_max
            ]
            for key in overlong:
                del self._held[key]
            held = [leased for leased, _ in self._held.values()]
        for kind, subject_id, _ in overlong:
            INTENT_CALLS_OVERLONG.labels(kind=kind).inc()
            self._log.error("intent_call_hangs", kind=kind, subject_id=subject_id)
        if held:
            self._leases.renew(held, lease_seconds=self._lease_seconds)
