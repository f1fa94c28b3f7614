"""A connection to PostgreSQL on which every answer has a deadline.

A server that is gone is told by TCP; one that hangs, or sits behind a proxy that hangs, is told by
nobody. psycopg2 waits for ever on its usual connections, so this one is asynchronous.
"""

import select
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE

_TCP: Final[Mapping[str, Any]] = {
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}


class Session:
    """One connection in autocommit, for one thread.

    Args:
        url: libpq connection URL.
        application_name: As the server shows it.
        settings: Of this session, set before anything else is asked.
        answer_seconds: The connection, and each answer after it, may take so long.

    Raises:
        psycopg2.Error: there is no connection, or it broke, or an answer took too long. A session
            that has raised is only good for closing.
    """

    def __init__(
        self, url: str, *, application_name: str, settings: Mapping[str, str], answer_seconds: float
    ) -> None:
        self._answer_seconds = answer_seconds
        self._connection: Any = psycopg2.connect(
            url, application_name=application_name, async_=True, **_TCP
        )
        try:
            self._wait()
            names = ", ".join("set_config(%s, %s, false)" for _ in settings)
            self.ask(f"SELECT {names}", [part for pair in settings.items() for part in pair])
        except BaseException:
            self.close()
            raise

    def ask(self, statement: str, values: object = None) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows; none if it has none."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            self._wait()
            return cursor.fetchall() if cursor.description is not None else []

    def close(self) -> None:
        """Break the connection off, whatever is under way."""
        with suppress(psycopg2.Error):
            self._connection.close()

    def _wait(self) -> None:
        deadline = time.monotonic() + self._answer_seconds
        while (state := self._connection.poll()) != POLL_OK:
            left = deadline - time.monotonic()
            if left <= 0:
                raise psycopg2.OperationalError("PostgreSQL has not answered in time")
            poller = select.poll()
            poller.register(self._connection.fileno(), _EVENTS[state])
            poller.poll(left * 1000)


_EVENTS: Final = {POLL_READ: select.POLLIN, POLL_WRITE: select.POLLOUT}
