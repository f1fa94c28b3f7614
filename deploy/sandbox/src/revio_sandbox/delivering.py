"""The threads that send webhooks: at least once, one after another for each object."""

import logging
import threading
from typing import TYPE_CHECKING

import requests

from revio_sandbox.deliveries import Due
from revio_sandbox.keys import COMPANY

if TYPE_CHECKING:
    from revio_sandbox.sandbox import Sandbox

logger = logging.getLogger(__name__)

# Signs what control asks to be signed with a foreign key; no webhook has this name.
FOREIGN = "foreign"


class DeliveryThreads:
    """Take due deliveries from the store, send them, and write down what came of it.

    What is under way is known only here, in memory: when the process dies the store still says
    `pending`, and the next process sends it again.
    """

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._lock = threading.Lock()
        self._busy_lanes: set[str] = set()
        self._threads = [
            threading.Thread(target=self._work, name=f"delivery-{number}", daemon=True)
            for number in range(sandbox.settings.delivery_threads)
        ]

    def start(self) -> None:
        """Start sending."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until every thread has ended; `Wakeup.stop` makes them."""
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _work(self) -> None:
        wakeup = self._sandbox.wakeup
        with requests.Session() as session:
            # A proxy named in the environment must not stand between sandbox and receiver.
            session.trust_env = False
            while not wakeup.stopping:
                seen = wakeup.seen()
                try:
                    due, wait_seconds = self._claim()
                    if due is None:
                        wakeup.wait(seen, timeout_seconds=wait_seconds)
                    else:
                        self._deliver(session, due)
                except Exception:
                    # The edge of the process: a thread that ends would silently delay webhooks.
                    logger.exception("delivery thread failed and goes on")
                    wakeup.wait(wakeup.seen(), timeout_seconds=1.0)

    def _claim(self) -> tuple[Due | None, float | None]:
        with self._lock, self._sandbox.quiet_unit() as unit:
            due = unit.deliveries.due(busy_lanes=self._busy_lanes, limit=1)
            if due:
                self._busy_lanes.add(due[0].lane)
                return due[0], None
            next_at = unit.deliveries.next_due_at()
            return None, None if next_at is None else next_at - unit.now

    def _deliver(self, session: requests.Session, due: Due) -> None:
        try:
            status, error = self._send(session, due)
            with self._sandbox.quiet_unit() as unit:
                unit.deliveries.record(due.id, status=status, error=error, scale=unit.scale)
        finally:
            with self._lock:
                self._busy_lanes.discard(due.lane)
        # Only now may another thread find the next delivery of this lane.
        self._sandbox.wakeup.signal()

    def _send(self, session: requests.Session, due: Due) -> tuple[int | None, str]:
        try:
            response = session.post(
                due.url,
                data=due.body,
                headers={"Content-Type": "application/json", **self._signature(due)},
                timeout=self._sandbox.settings.delivery_timeout_seconds,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            logger.info("webhook %s %s not delivered: %s", due.id, due.event, error)
            return None, str(error)
        delivered = 200 <= response.status_code < 300
        return response.status_code, "" if delivered else f"HTTP {response.status_code}"

    def _signature(self, due: Due) -> dict[str, str]:
        keys = self._sandbox.keys
        match due.signature:
            case "missing":
                return {}
            case "foreign":
                return {"X-Signature": keys.sign(FOREIGN, due.body)}
            case "invalid":
                name = due.key_name or COMPANY
                return {"X-Signature": keys.sign(name, due.body + b" ")}
            case _:
                return {"X-Signature": keys.sign(due.key_name, due.body)}
