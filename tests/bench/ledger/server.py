"""One PostgreSQL for the whole run: the runner's embedded one, on a port and data of its own."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT, connection, make_dsn, parse_dsn

from octoco_runner import postgresql
from octoco_runner.credentials import Credentials
from octoco_runner.errors import NotReady, RunnerError
from octoco_runner.layout import layout_for
from octoco_runner.ports import free_port
from octoco_runner.server_users import find_user, postgresql_user

# What an operator of a small server would set; the rest is as the runner sets it. No checkpoint
# falls into one measurement and not into its neighbour: one is made before the first round, and
# the next one is not due before the run has ended.
SETTINGS: Final[Mapping[str, str]] = {
    "shared_buffers": "1GB",
    "max_connections": "300",
    "max_wal_size": "12GB",
    "checkpoint_timeout": "60min",
    "max_pred_locks_per_transaction": "256",
}
REPORTED_SETTINGS: Final = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "autovacuum",
    "jit",
    *SETTINGS,
)
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running PostgreSQL.

    Args:
        admin_url: Of the superuser, for the database `postgres`.
        binaries: Folder with pgbench.
    """

    admin_url: str
    binaries: Path

    def dsn(self, database: str) -> str:
        """The superuser's connection string for a database."""
        return str(make_dsn(**{**parse_dsn(self.admin_url), "dbname": database}))

    def url(self, database: str, *, user: str, password: str) -> str:
        admin = parse_dsn(self.admin_url)
        return f"postgresql://{user}:{password}@{admin['host']}:{admin['port']}/{database}"

    def connect(self, database: str = "postgres") -> connection:
        """Open an autocommitting connection as superuser."""
        opened = psycopg2.connect(self.dsn(database), connect_timeout=5)
        opened.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
        return opened

    def settings(self) -> dict[str, str]:
        """The settings that decide what the figures mean."""
        admin = self.connect()
        try:
            with admin.cursor() as cursor:
                cursor.execute(
                    "SELECT name, current_setting(name) FROM unnest(%s) AS name",
                    (list(REPORTED_SETTINGS),),
                )
                return dict(cursor.fetchall())
        finally:
            admin.close()


@contextmanager
def running_server(
    state: Path, *, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Server]:
    """Make a PostgreSQL below `state`, run it for the block, and remove it with its data.

    Args:
        state: Folder of its own.
        settings: Beside those that every benchmark has.

    Raises:
        RunnerError: there is no embedded PostgreSQL for this system, or it did not start.
    """
    user = postgresql_user()
    layout = layout_for(state, user)
    # What an interrupted run has left is of no use to anybody.
    layout.remove()
    layout = layout_for(state, user)
    layout.make_folders()
    password = Credentials(layout.secrets).password("postgresql-admin")
    port = free_port(postgresql.NAME)
    program = postgresql.prepare_postgresql(layout, port=port, admin_password=password, user=user)
    command = [*program.command]
    for name, value in {**SETTINGS, **settings}.items():
        command += ["-c", f"{name}={value}"]
    owner = find_user(program.user) if program.user else None
    log = layout.logs / "postgresql.log"
    with (
        log.open("ab") as output,
        subprocess.Popen(
            command,
            cwd=program.directory,
            env={"PATH": os.environ["PATH"], **program.environment},
            stdout=output,
            stderr=output,
            # A Ctrl-C is for us, who stop the server when the block ends.
            start_new_session=True,
            user=owner.uid if owner else None,
            group=owner.gid if owner else None,
            extra_groups=[] if owner else None,
        ) as process,
    ):
        try:
            url = postgresql.admin_url(port, password)
            _wait_until_answering(url, process, log)
            yield Server(url, Path(program.command[0]).parent)
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
            process.wait()
            layout.remove()


def _wait_until_answering(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            postgresql.require_answering(url)
            return
        except NotReady as error:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
            if process.returncode is not None or time.monotonic() > deadline:
                tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise RunnerError(f"PostgreSQL did not start:\n{tail}") from error
