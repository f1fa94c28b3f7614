"""One PostgreSQL database: connections, and units of work that survive lost races."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TypeVar

import psycopg2
import sqlalchemy
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from octoco.errors import DatabaseGone, Unavailable
from octoco.telemetry.metrics import UNIT_RETRIES

T = TypeVar("T")

SERIALIZATION_FAILURE: Final = "40001"
DEADLOCK_DETECTED: Final = "40P01"
LOCK_NOT_AVAILABLE: Final = "55P03"
LOST_RACE: Final = frozenset({SERIALIZATION_FAILURE, DEADLOCK_DETECTED})

_SNAPSHOT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_SESSION_SETTINGS: Final = (
    "-c lock_timeout=5s -c statement_timeout=15s -c idle_in_transaction_session_timeout=30s "
    "-c timezone=UTC "
    # The server gives up a process that is cut off in the time in which that gives up the server.
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 "
    "-c tcp_user_timeout=25000"
)

# A server that is cut off without a word is given up within half a minute, whether an answer is
# waited for or a question is on its way; by itself TCP would take a quarter of an hour or more.
_KEEPALIVES: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}

QUEUE_WAIT_SECONDS: Final = 5.0
# Whoever holds a gate for longer is taken for asleep; longer than most units can take.
GATE_SECONDS_MAX: Final = 30.0
# The lock is the transaction's, so PostgreSQL takes it from a process that was stopped or cut off.
# In one message, for it is one round trip; nothing is asked after the lock, for an idle READ
# COMMITTED transaction keeps no snapshot, which would hold up vacuum.
_ENTER: Final = """
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL lock_timeout = :wait;
    SET LOCAL idle_in_transaction_session_timeout = :held;
    SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))
"""


class Database:
    """Connections to one service's schema, as the service's own role.

    Args:
        url: libpq connection URL.
        application_name: Seen in pg_stat_activity.
        pool_size: Most units at once, and as many single statements beside them.
    """

    def __init__(self, url: str, *, application_name: str, pool_size: int = 10) -> None:
        # Pools, each of one isolation level for good: a level that is set on a connection is
        # set back when it is returned, and where the server has gone meanwhile that fails with
        # the driver's own exception and costs the pool a place.
        self._engine = _engine(
            url, "SERIALIZABLE", application_name=application_name, pool_size=pool_size
        )
        self._statements = _engine(
            url, "AUTOCOMMIT", application_name=application_name, pool_size=pool_size
        )
        self._calls = _engine(
            url,
            "AUTOCOMMIT",
            application_name=application_name,
            pool_size=pool_size,
            options="-c default_transaction_isolation=serializable",
        )
        # Without an upper bound, as no unit's need of connections may pass for a server's silence.
        self._checks = _engine(url, "AUTOCOMMIT", application_name=application_name, pool_size=0)
        self._application_name = application_name

    def run(
        self,
        work: Callable[[sqlalchemy.Connection], T],
        *,
        contended_on: str | None = None,
        deadline_seconds: float = 10.0,
    ) -> T:
        """Do the work in one SERIALIZABLE unit; on a lost race do all of it again.

        From the second try on, units that name the same contention queue up behind an advisory
        lock taken before BEGIN: without it a crowd on one row keeps losing to itself. A process
        that sleeps for half a minute loses its place at the front, and no more than that.

        Args:
            work: Gets the open connection. Must be repeatable and call nothing outside.
            contended_on: What the unit competes for, such as a user's id; None shares one queue.
            deadline_seconds: No further try is begun after this long.

        Returns:
            What `work` returned in the try that committed.

        Raises:
            Unavailable: the database is away, the commit's answer was lost, or every try until
                the deadline lost its race.
        """
        return self._until_won(
            lambda: self._try(work), contended_on=contended_on, deadline_seconds=deadline_seconds
        )

    def call(
        self,
        sql: str,
        parameters: Mapping[str, object],
        *,
        contended_on: str | None = None,
        deadline_seconds: float = 10.0,
    ) -> Sequence[tuple[Any, ...]]:
        """Run one statement that is a whole SERIALIZABLE unit by itself, in one round trip.

        It goes to the driver directly, past SQLAlchemy's Core: for a statement this short, BEGIN,
        COMMIT and Core together cost more than the statement (docs/adr/0010).

        Args:
            sql: In the driver's form, `%(name)s`. It must have one effect however often it is run,
                as what has a business key does: it is run again after a lost race, and also after
                a connection broke, when nobody knows whether it had committed.
            parameters: Bound by the driver.
            contended_on: See `run`.
            deadline_seconds: See `run`.

        Returns:
            Its rows.

        Raises:
            Unavailable: see `run`.
            sqlalchemy.exc.DBAPIError: what the database refused it with.
        """
        return self._until_won(
            lambda: self._call(sql, parameters),
            contended_on=contended_on,
            deadline_seconds=deadline_seconds,
        )

    def read(self, work: Callable[[sqlalchemy.Connection], T]) -> T:
        """Do reading work on one snapshot that nothing can be written in.

        Raises:
            Unavailable: the database is away.
        """
        for attempt in (1, 2):
            try:
                with self._engine.connect() as connection:
                    connection.exec_driver_sql(_SNAPSHOT)
                    return work(connection)
            except DBAPIError as error:
                # The pool may hold a connection from before the server's restart: once more.
                if not (error.connection_invalidated and attempt == 1):
                    _raise_for_caller(error)
            except PoolTimeout as error:
                raise Unavailable("All database connections are busy.") from error
        raise AssertionError("unreachable")

    def statement(
        self, sql: str, parameters: Mapping[str, object], *, is_repeatable: bool = True
    ) -> Sequence[sqlalchemy.Row[Any]]:
        """Run one statement that is a whole unit by itself, READ COMMITTED, and return its rows.

        For queue work with SKIP LOCKED, which needs no serializability and would only cost
        others their race.

        Args:
            sql: In SQLAlchemy's form, `:name`.
            parameters: Bound to it.
            is_repeatable: Whether it is run again after its connection broke, when nobody knows
                whether it had committed.

        Raises:
            Unavailable: the database is away.
        """
        return _ask(self._statements, sql, parameters, tries=2 if is_repeatable else 1)

    @contextmanager
    def turn(
        self, name: str, *, wait_seconds: float, seconds_max: float = GATE_SECONDS_MAX
    ) -> Iterator[bool]:
        """Hold a turn that only one session of the service has at a time, for the block.

        It is an advisory lock on a connection beside those of the units that the block runs, which
        begin after it is taken and have committed when it is given up. It goes to others early,
        and the block goes on, if that connection breaks or the block takes too long.

        Args:
            name: Of the turn; each has its own.
            wait_seconds: How long to queue for it.
            seconds_max: After this long the process is taken for asleep, and loses the turn.

        Yields:
            False if others had it for all of that time: the block runs without it.

        Raises:
            Unavailable: the database is away.
        """
        lock = f"{self._application_name}:turn:{name}"
        try:
            gate = self._statements.connect()
        except DBAPIError as error:
            _raise_for_caller(error)
        except PoolTimeout as error:
            raise Unavailable("All database connections are busy.") from error
        with gate:
            try:
                is_held = _enter(gate, lock, wait_seconds=wait_seconds, seconds_max=seconds_max)
            except DBAPIError as error:
                _raise_for_caller(error)
            try:
                yield is_held
            finally:
                if is_held:
                    _leave(gate)

    def check(self) -> None:
        """Ask the database for an answer, on a connection that no unit can be using.

        Raises:
            Unavailable: there is none.
        """
        _ask(self._checks, "SELECT 1", {})

    def dispose(self) -> None:
        """Close every idle connection."""
        self._engine.dispose()
        self._statements.dispose()
        self._calls.dispose()
        self._checks.dispose()

    def _until_won(
        self, attempt: Callable[[], T], *, contended_on: str | None, deadline_seconds: float
    ) -> T:
        deadline = time.monotonic() + deadline_seconds
        tries = 0
        while True:
            tries += 1
            try:
                if tries == 1:
                    return attempt()
                return self._in_queue(attempt, contended_on or "")
            except DBAPIError as error:
                if not _may_run_again(error):
                    _raise_for_caller(error)
                if time.monotonic() >= deadline:
                    raise Unavailable("The database is busy; please try again.") from error
                UNIT_RETRIES.labels(reason=_sqlstate(error) or "disconnected").inc()
            except PoolTimeout as error:
                raise Unavailable("All database connections are busy.") from error
            time.sleep(random.uniform(0.001, min(0.005 * 2**tries, 0.1)))

    def _try(self, work: Callable[[sqlalchemy.Connection], T]) -> T:
        with self._engine.connect() as connection:
            return _commit(connection, work(connection))

    def _call(self, sql: str, parameters: Mapping[str, object]) -> Sequence[tuple[Any, ...]]:
        connection: sqlalchemy.PoolProxiedConnection | None = None
        try:
            # A connection that breaks while it is made raises the driver's own error, too.
            connection = self._calls.raw_connection()
            cursor = connection.cursor()
            cursor.execute(sql, parameters)
            rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
            cursor.close()
            return rows
        except psycopg2.Error as error:
            is_broken = connection is None or bool(
                getattr(connection.dbapi_connection, "closed", True)
            )
            if connection is not None and is_broken:
                connection.invalidate(error)
            raise DBAPIError.instance(
                sql,
                None,
                error,
                psycopg2.Error,
                hide_parameters=True,
                connection_invalidated=is_broken,
            ) from error
        finally:
            if connection is not None:
                connection.close()

    def _in_queue(self, attempt: Callable[[], T], queue: str) -> T:
        name = f"{self._application_name}:{queue}"
        with self._statements.connect() as gate:
            # The lock belongs to the gate, so it is held before BEGIN and after COMMIT.
            if not _enter(
                gate, name, wait_seconds=QUEUE_WAIT_SECONDS, seconds_max=GATE_SECONDS_MAX
            ):
                raise Unavailable("The database is busy; please try again.")
            try:
                return attempt()
            finally:
                _leave(gate)


def _engine(
    url: str,
    isolation_level: IsolationLevel,
    *,
    application_name: str,
    pool_size: int,
    options: str = "",
) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(
        driver_url(url),
        isolation_level=isolation_level,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        # Errors are logged; what was bound to them is other people's data.
        hide_parameters=True,
        connect_args={
            "application_name": application_name,
            "connect_timeout": 5,
            **_KEEPALIVES,
            "options": f"{_SESSION_SETTINGS} {options}",
        },
    )


def _ask(
    engine: sqlalchemy.Engine, sql: str, parameters: Mapping[str, object], *, tries: int = 2
) -> Sequence[sqlalchemy.Row[Any]]:
    for attempt in range(1, tries + 1):
        try:
            with engine.connect() as connection:
                result = connection.execute(sqlalchemy.text(sql), parameters)
                return result.all() if result.returns_rows else []
        except DBAPIError as error:
            # The pool may hold a connection from before the server's restart: once more.
            if not (error.connection_invalidated and attempt < tries):
                _raise_for_caller(error)
        except PoolTimeout as error:
            raise Unavailable("All database connections are busy.") from error
    raise AssertionError("unreachable")


def _enter(
    gate: sqlalchemy.Connection, name: str, *, wait_seconds: float, seconds_max: float
) -> bool:
    held = {"wait": wait_seconds, "held": seconds_max}
    try:
        gate.execute(
            sqlalchemy.text(_ENTER),
            {"name": name, **{key: f"{round(value * 1000)}ms" for key, value in held.items()}},
        )
    except BaseException as error:
        if isinstance(error, DBAPIError) and _sqlstate(error) == LOCK_NOT_AVAILABLE:
            _leave(gate)
            return False
        # The pool takes connections back as they are, and this one may be in a transaction.
        gate.invalidate()
        raise
    return True


def _leave(gate: sqlalchemy.Connection) -> None:
    try:
        gate.execute(sqlalchemy.text("COMMIT"))
    except DBAPIError:
        # PostgreSQL has ended it meanwhile, or does so now: either gives the lock up, and says
        # nothing about what was done behind it.
        gate.invalidate()


class CommitOutcomeUnknown(DatabaseGone):
    """The connection broke during COMMIT: the effect may or may not have happened.

    Whoever asks again with the same business key finds out.
    """

    code = "commit_outcome_unknown"


def _commit(connection: sqlalchemy.Connection, result: T) -> T:
    try:
        connection.commit()
    except OperationalError as error:
        if _sqlstate(error) in LOST_RACE:
            raise
        raise CommitOutcomeUnknown("The outcome is not known; please ask again.") from error
    return result


def _may_run_again(error: DBAPIError) -> bool:
    # A connection lost before COMMIT has left nothing behind.
    return _sqlstate(error) in LOST_RACE or error.connection_invalidated


def _raise_for_caller(error: DBAPIError) -> NoReturn:
    if _sqlstate(error) == LOCK_NOT_AVAILABLE:
        raise Unavailable("The database is busy; please try again.") from error
    is_operational = isinstance(error, OperationalError)
    # A connection that could not be made tells no state.
    if error.connection_invalidated or (is_operational and _sqlstate(error) is None):
        raise DatabaseGone("The database is not available.") from error
    if is_operational:
        raise Unavailable("The database is not available.") from error
    raise error


def _sqlstate(error: DBAPIError) -> str | None:
    original: Any = error.orig
    return getattr(original, "pgcode", None)


def driver_url(url: str) -> str:
    """Return a libpq URL in SQLAlchemy's form, which names the driver."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg2://" + url.removeprefix(prefix)
    return url
