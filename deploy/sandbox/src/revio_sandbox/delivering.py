"""The thread and its pool that send webhooks: at least once, one after another for each object."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import requests

from revio_sandbox.deliveries import Due, is_success
from revio_sandbox.keys import COMPANY

if TYPE_CHECKING:
    from revio_sandbox.sandbox import Sandbox

logger = logging.getLogger(__name__)

# Signs what control asks to be signed with a foreign key; no webhook has this name.
FOREIGN = "foreign"


class DeliveryThread:
    """Takes due deliveries from the store and lets a small pool send them.

    What is under way is known only here, in memory: when the process dies the store still says
    `pending`, and the next process sends it again.
    """

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._lock = threading.Lock()
        self._busy_lanes: set[str] = set()
        self._sessions = threading.local()
        self._pool = ThreadPoolExecutor(
            max_workers=sandbox.settings.delivery_threads, thread_name_prefix="delivery"
        )
        self._thread = threading.Thread(target=self._work, name="deliveries", daemon=True)

    def start(self) -> None:
        """Start sending."""
        self._thread.start()

    def join(self) -> None:
        """Wait until attempts under way have ended; `Wakeup.stop` lets no new one begin."""
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _work(self) -> None:
        wakeup = self._sandbox.wakeup
        while not wakeup.stopping:
            seen = wakeup.seen()
            try:
                wait_seconds = self._dispatch()
            except Exception:
                # The edge of the process: a thread that ends would silently delay webhooks.
                logger.exception("delivery thread failed and goes on")
                wait_seconds = 1.0
            wakeup.wait(seen, timeout_seconds=wait_seconds)

    def _dispatch(self) -> float | None:
        """Give the pool as much as it can take; returns how long until a retry is due."""
        with self._lock:
            free = self._sandbox.settings.delivery_threads - len(self._busy_lanes)
            busy = frozenset(self._busy_lanes)
        if free <= 0:
            return None
        with self._sandbox.unit() as unit:
            found = unit.deliveries.due(busy_lanes=busy, limit=free)
            next_at = unit.deliveries.next_due_at()
            wait_seconds = None if next_at is None else next_at - unit.now
        for due in found:
            with self._lock:
                self._busy_lanes.add(due.lane)
            self._pool.submit(self._deliver, due)
        return wait_seconds

    def _deliver(self, due: Due) -> None:
        try:
            status, error = self._send(self._session(), due)
            with self._sandbox.unit() as unit:
                unit.deliveries.record(due.id, status=status, error=error, scale=unit.scale)
        except Exception:
            # Still `pending` in the store, hence tried again; nobody else would see the error.
            logger.exception("delivery %s failed inside the sandbox", due.id)
        finally:
            with self._lock:
                self._busy_lanes.discard(due.lane)
            # Only now can the next delivery of this lane be found.
            self._sandbox.wakeup.signal()

    def _session(self) -> requests.Session:
        if not hasattr(self._sessions, "session"):
            self._sessions.session = requests.Session()
            # A proxy named in the environment must not stand between sandbox and receiver.
            self._sessions.session.trust_env = False
        session: requests.Session = self._sessions.session
        return session

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
        status = response.status_code
        return status, "" if is_success(status) else f"HTTP {status}"

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
