"""A bell between processes: says that there is something new, without slowing who rings it.

NOTIFY inside a business unit of work takes a lock that all commits of the database share.
So the bell is rung after the commit, from a thread of its own, one NOTIFY for many rings;
a lost ring costs at most one polling interval.
"""

import select
import threading
import time
from collections.abc import Callable
from typing import Final

import psycopg2
import structlog
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT

LISTEN_SECONDS: Final = 0.5
RECONNECT_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 10.0
# The first ring is heard at once; those that come close behind it share the next NOTIFY. Without
# that, hundreds of commits a second make hundreds of NOTIFYs, which cost what the commits do.
PAUSE_SECONDS: Final = 0.01


def channel_of(service: str) -> str:
    """Return the notification channel of a service's bell."""
    return service.replace("-", "_") + "_bell"


class Bell:
    """Rings for other processes of the same service.

    Its thread and its connection begin with a ring and end after a while of silence, so that
    nobody has to put it away.

    Args:
        url: libpq connection URL.
        service: Whose bell it is.
    """

    def __init__(self, *, url: str, service: str) -> None:
        self._url = url
        self._service = service
        self._rung = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def ring(self) -> None:
        """Ring soon; never blocks and never fails."""
        self._rung.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="bell", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        connection: psycopg2.extensions.connection | None = None
        while True:
            if not self._rung.wait(SILENT_SECONDS) and self._may_end():
                break
            self._rung.clear()
            try:
                connection = connection or self._connect()
                with connection.cursor() as cursor:
                    cursor.execute(f"NOTIFY {channel_of(self._service)}")
            except psycopg2.Error:
                # Whoever listens also looks by itself; a bell that cannot ring is only slower.
                connection = None
            time.sleep(PAUSE_SECONDS)
        if connection is not None:
            connection.close()

    def _may_end(self) -> bool:
        with self._lock:
            if self._rung.is_set():
                return False
            self._thread = None
            return True

    def _connect(self) -> psycopg2.extensions.connection:
        connection = psycopg2.connect(
            self._url, connect_timeout=5, application_name=f"{self._service}-bell"
        )
        connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
        with connection.cursor() as cursor:
            # A NOTIFY is a commit that would wait for the disk, and carries nothing worth it.
            cursor.execute("SET synchronous_commit = off")
        return connection


class BellListener:
    """Hears a service's bell and tells whoever wants to know.

    Args:
        url: libpq connection URL.
        service: Whose bell it is.
        on_ring: Called after each ring, and after each reconnection; must be quick.
    """

    def __init__(self, *, url: str, service: str, on_ring: Callable[[], None]) -> None:
        self._url = url
        self._service = service
        self._on_ring = on_ring
        self._log = structlog.get_logger("octoco.bell")

    def run(self, stop: threading.Event) -> None:
        """Listen until `stop` is set; a lost connection is made again."""
        while not stop.is_set():
            try:
                self._listen(stop)
            except psycopg2.Error as error:
                self._log.warning("bell_not_heard", error=type(error).__name__)
                stop.wait(RECONNECT_SECONDS)

    def _listen(self, stop: threading.Event) -> None:
        connection = psycopg2.connect(
            self._url, connect_timeout=5, application_name=f"{self._service}-bell-listener"
        )
        try:
            connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {channel_of(self._service)}")
            self._on_ring()
            while not stop.is_set():
                ready, _, _ = select.select([connection], [], [], LISTEN_SECONDS)
                if ready:
                    connection.poll()
                    if connection.notifies:
                        connection.notifies.clear()
                        self._on_ring()
        finally:
            connection.close()
