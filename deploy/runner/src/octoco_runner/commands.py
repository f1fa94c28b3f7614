"""Running other programs: by argument list, never through a shell, never waiting for input."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class ServerUser:
    """An unprivileged user of this machine that a server is started as."""

    name: str
    uid: int
    gid: int

    def may_enter(self, path: Path) -> bool:
        """True when this user can reach and enter (or execute) `path`, asked of the kernel."""
        return run(["/usr/bin/test", "-x", str(path)], user=self).returncode == 0


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    user: ServerUser | None = None,
    stdin_text: str | None = None,
    timeout_seconds: float | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run `command` to its end from the root folder and keep what it said.

    Args:
        command: Program and arguments; secrets go through `environment` or `stdin_text`.
        environment: All it gets; None passes on ours.
        user: Whom to run as (we must be root); None is ourselves.
        stdin_text: What it reads; nothing by default.
        timeout_seconds: It is killed after that; None waits as long as it takes.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    return subprocess.run(  # noqa: S603 - programs we name, given as a list
        command,
        check=False,
        input=stdin_text or "",
        capture_output=True,
        text=True,
        cwd="/",
        env=environment,
        timeout=timeout_seconds,
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
    )


@dataclass(frozen=True)
class Detached:
    """A process that goes on when we end."""

    pid: int

    def has_ended(self) -> bool:
        """True when it is gone already."""
        try:
            return os.waitpid(self.pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True


def start_detached(
    command: Sequence[str], *, environment: Mapping[str, str], output: IO[bytes]
) -> Detached:
    """Start `command` in a session of its own, out of reach of this terminal's Ctrl-C."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        files = [
            (os.POSIX_SPAWN_DUP2, nothing, 0),
            (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
        ]
        # Not subprocess: it takes a process that outlives its starter for a mistake.
        pid = os.posix_spawn(
            command[0], list(command), environment, file_actions=files, setsid=True
        )
    finally:
        os.close(nothing)
    return Detached(pid)
