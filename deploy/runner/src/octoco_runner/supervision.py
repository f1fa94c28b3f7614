"""Keeping processes alive: a private supervisord, its configuration and its control socket."""

import http.client
import os
import re
import shlex
import signal
import socket
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from octoco_runner.commands import start_detached
from octoco_runner.errors import NotReady, RunnerError
from octoco_runner.layout import Layout
from octoco_runner.processes import mark_of
from octoco_runner.server_users import running_as_root

LOG_BYTES_MAX = 10_000_000
LOG_COPIES = 3
START_TIMEOUT_SECONDS = 20.0
CALL_TIMEOUT_SECONDS = 60.0
# States as supervisord names them.
STOPPED_STATES = frozenset({"STOPPED", "EXITED", "FATAL", "UNKNOWN"})
# The supervisor waits one second longer after each failed start, so 30 tries last about 7 minutes.
START_TRIES = 30


@dataclass(frozen=True)
class Program:
    """One process to keep alive.

    `environment` may hold secrets: it travels in the supervisor's private configuration file,
    never on a command line. `user` is whom it runs as, None is ourselves. A process that ends is
    started again; one that ends within `start_seconds` is started again with growing pauses.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    directory: Path = Path("/")
    stop_signal: str = "TERM"
    stop_wait_seconds: int = 20
    start_seconds: int = 2


@dataclass(frozen=True)
class ProcessState:
    """What the supervisor knows about one program."""

    name: str
    state: str
    pid: int
    detail: str

    @property
    def is_running(self) -> bool:
        return self.state == "RUNNING"


def render_configuration(layout: Layout, programs: Iterable[Program]) -> str:
    """The supervisor's configuration for `programs`; nothing starts by itself.

    Raises:
        RunnerError: a value holds a character the configuration's format cannot carry.
    """
    lines = [
        "[supervisord]",
        "nodaemon=true",
        "directory=/",
        "silent=true",
        f"logfile={_escaped(str(layout.logs / 'supervisor.log'))}",
        "logfile_maxbytes=5MB",
        "logfile_backups=2",
        f"pidfile={_escaped(str(layout.run / 'supervisor.pid'))}",
        f"childlogdir={_escaped(str(layout.logs))}",
        *(["user=root"] if running_as_root() else []),
        "",
        "[unix_http_server]",
        f"file={_escaped(str(_socket_of(layout)))}",
        "chmod=0700",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for program in programs:
        lines += ["", *_program_lines(layout, program)]
    return "\n".join(lines) + "\n"


class Supervisor:
    """The supervisord of one state folder, seen through its control socket."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def start(self, programs: Iterable[Program]) -> None:
        """Start supervisord, detached from this terminal, with no program running yet.

        Raises:
            NotReady: it did not answer in time.
        """
        configuration = self._layout.run / "supervisor.conf"
        _write_private(configuration, render_configuration(self._layout, programs))
        _socket_of(self._layout).unlink(missing_ok=True)
        log = self._layout.logs / "supervisor.log"
        with (self._layout.logs / "supervisor.out").open("ab") as output:
            process = start_detached(
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
                environment={**clean_environment(), **mark_of(self._layout)},
                output=output,
            )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self.answers():
            if process.has_ended() or time.monotonic() > deadline:
                tail = tail_of(self._layout.logs / "supervisor.out") + tail_of(log)
                raise NotReady("The supervisor did not start.", log_tail=tail)
            time.sleep(0.05)

    def answers(self) -> bool:
        """True when a supervisord listens on the control socket."""
        try:
            self._call("getState")
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False
        return True

    def start_program(self, name: str) -> None:
        """Start one program and do not wait; running already is fine."""
        try:
            self._call("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                raise RunnerError(f"{name} could not be started: {fault.faultString}") from fault

    def stop_programs(self, names: Sequence[str]) -> None:
        """Stop these programs side by side and wait until the last is gone.

        The supervisor kills one that outlives its `stop_wait_seconds`, so this ends.
        """
        waiting = set()
        for name in names:
            try:
                self._call("stopProcess", name, False)
                waiting.add(name)
            except xmlrpc.client.Fault:
                # Not running, or not part of this configuration: as it should be.
                continue
        deadline = time.monotonic() + CALL_TIMEOUT_SECONDS
        while waiting and time.monotonic() < deadline:
            states = {state.name: state.state for state in self.states()}
            waiting = {name for name in waiting if states[name] not in STOPPED_STATES}
            time.sleep(0.1)

    def states(self) -> list[ProcessState]:
        """Every program with its state, in the configuration's order."""
        found = cast(list[dict[str, Any]], self._call("getAllProcessInfo"))
        return [
            ProcessState(
                name=str(info["name"]),
                state=str(info["statename"]),
                pid=int(info["pid"]),
                detail=str(info["description"]),
            )
            for info in found
        ]

    def state_of(self, name: str) -> ProcessState:
        return next(state for state in self.states() if state.name == name)

    def shut_down(self) -> None:
        """Ask supervisord to end with everything it runs; does not wait."""
        self._call("shutdown")

    def _call(self, method: str, *arguments: object) -> object:
        transport = _UnixTransport(_socket_of(self._layout))
        with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> http.client.HTTPConnection:
        connection = _UnixConnection(self._path)
        # Where the transport looks for what it has to close.
        self._connection = (host, connection)
        return connection


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=CALL_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.sock.close()
            raise


def clean_environment() -> dict[str, str]:
    """What our processes get of the caller's environment: enough to run, nothing that steers."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
    return environment


def log_of(layout: Layout, program: str) -> Path:
    return layout.logs / f"{program}.log"


def tail_of(path: Path, *, lines: int = 20) -> list[str]:
    """The last lines of a log, for a person; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def _program_lines(layout: Layout, program: Program) -> list[str]:
    if not re.fullmatch(r"[a-z][a-z0-9-]*", program.name):
        raise RunnerError(f"{program.name!r} is no name for a program.")
    if not hasattr(signal, f"SIG{program.stop_signal}"):
        raise RunnerError(f"{program.name}: there is no signal {program.stop_signal}.")
    environment = ",".join(
        f'{name}="{_quotable(name, value)}"' for name, value in sorted(program.environment.items())
    )
    return [
        f"[program:{program.name}]",
        f"command={_escaped(shlex.join(program.command))}",
        f"directory={_escaped(str(program.directory))}",
        *([f"user={program.user}"] if program.user else []),
        *([f"environment={environment}"] if environment else []),
        "autostart=false",
        "autorestart=true",
        f"startsecs={program.start_seconds}",
        f"startretries={START_TRIES}",
        f"stopsignal={program.stop_signal}",
        f"stopwaitsecs={program.stop_wait_seconds}",
        # Whatever a process that does not stop has started goes with it.
        "killasgroup=true",
        "redirect_stderr=true",
        # This one value is expanded twice.
        f"stdout_logfile={_escaped(_escaped(str(log_of(layout, program.name))))}",
        f"stdout_logfile_maxbytes={LOG_BYTES_MAX}",
        f"stdout_logfile_backups={LOG_COPIES}",
    ]


def _quotable(name: str, value: str) -> str:
    if any(character in value for character in '"\\\n\r'):
        raise RunnerError(f"{name} holds a quote, a backslash or a line break: not supported.")
    return _escaped(value)


def _escaped(text: str) -> str:
    # "%" starts an expansion, and " ;" a comment.
    if "\n" in text or " ;" in text:
        raise RunnerError(f"The supervisor's configuration cannot hold {text!r}.")
    return text.replace("%", "%%")


def _socket_of(layout: Layout) -> Path:
    return layout.sockets / "supervisor.sock"


def _write_private(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)
