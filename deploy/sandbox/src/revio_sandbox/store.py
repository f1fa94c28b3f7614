"""The sandbox's own SQLite file: tables, and one unit of work at a time."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS objects (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    reference TEXT NOT NULL,
    document TEXT NOT NULL,
    private TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS objects_by_type ON objects (type, sequence);
CREATE INDEX IF NOT EXISTS objects_by_reference ON objects (reference) WHERE reference <> '';
CREATE TABLE IF NOT EXISTS snapshots (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    object_id TEXT NOT NULL,
    status TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS snapshots_by_object ON snapshots (object_id, sequence);
CREATE TABLE IF NOT EXISTS balance_moves (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    balance TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount INTEGER NOT NULL,
    fee INTEGER NOT NULL,
    object_id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS balance_moves_sum
    ON balance_moves (balance, currency, amount, fee);
CREATE TABLE IF NOT EXISTS webhooks (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    callback TEXT NOT NULL,
    events TEXT NOT NULL,
    all_events INTEGER NOT NULL,
    created_on INTEGER NOT NULL,
    updated_on INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    position INTEGER NOT NULL,
    lane TEXT NOT NULL,
    key_name TEXT NOT NULL,
    url TEXT NOT NULL,
    object_type TEXT NOT NULL,
    object_id TEXT NOT NULL,
    event TEXT NOT NULL,
    body BLOB NOT NULL,
    signature TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    attempts_max INTEGER NOT NULL,
    created_at REAL NOT NULL,
    first_attempt_at REAL,
    next_attempt_at REAL NOT NULL,
    delivered_at REAL,
    last_status INTEGER
);
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (lane, position)
    WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS deliveries_by_position ON deliveries (position);
CREATE INDEX IF NOT EXISTS deliveries_by_object ON deliveries (object_id, id);
CREATE INDEX IF NOT EXISTS deliveries_pending ON deliveries (position) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (next_attempt_at) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS delivery_attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery_id INTEGER NOT NULL,
    attempted_at REAL NOT NULL,
    status INTEGER,
    error_message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS delivery_attempts_of ON delivery_attempts (delivery_id, id);
CREATE TABLE IF NOT EXISTS timers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    due_at REAL NOT NULL,
    kind TEXT NOT NULL,
    object_id TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS timers_due ON timers (due_at);
CREATE TABLE IF NOT EXISTS knobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    operation TEXT NOT NULL,
    outcome TEXT NOT NULL,
    times INTEGER NOT NULL,
    object_id TEXT NOT NULL,
    reference TEXT NOT NULL,
    event TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS request_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    operation TEXT NOT NULL,
    request TEXT NOT NULL,
    status INTEGER NOT NULL,
    response TEXT NOT NULL,
    fault TEXT NOT NULL,
    duration_ms REAL NOT NULL
);
"""

DATA_TABLES = (
    "objects",
    "snapshots",
    "balance_moves",
    "deliveries",
    "delivery_attempts",
    "timers",
    "request_log",
)


class Store:
    """One SQLite connection behind one lock.

    The sandbox is a single process, and SQLite lets one writer in at a time anyway: a lock in
    front of it makes every unit of work serial, without busy errors or retries.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        # WAL with NORMAL loses nothing when the process is killed, which is what must be survived.
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Open one unit of work: commits on return, rolls back on any exception."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        with self._lock:
            self._connection.close()
