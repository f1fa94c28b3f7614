"""Finding and ending the processes of one system, whoever started them and however it died."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from octoco_runner.errors import RunnerError
from octoco_runner.layout import Layout
from octoco_runner.server_users import running_as_root

MARK = "OCTOCO_RUNNER_STATE"
# These overwrite the memory their environment stands in, so that the mark cannot be read; both
# keep the working directory they were started in, which for them is inside our data.
UNMARKED_PROGRAMS = frozenset({"nginx", "postgres"})
ROUNDS_MAX = 5


def mark_of(layout: Layout) -> dict[str, str]:
    """The environment every process of this system is started with."""
    return {MARK: str(layout.state)}


def processes_of(layout: Layout) -> list[psutil.Process]:
    """Every living process of this system, except the caller and those it runs below."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [
        process
        for process in psutil.process_iter()
        if process.pid not in own and _belongs(process, layout)
    ]


def end_processes_of(layout: Layout, *, grace_seconds: float = 20.0) -> int:
    """End every process of this system: asked first, then killed. Nothing else is touched.

    Returns:
        How many there were; 0 on a repeat.

    Raises:
        RunnerError: one could not be ended.
    """
    ended: set[int] = set()
    for _ in range(ROUNDS_MAX):
        # Again after each round: a process seen while it was being started may have left a child.
        found = processes_of(layout)
        if not found:
            return len(ended)
        ended.update(process.pid for process in found)
        _end(found, grace_seconds=grace_seconds)
    left = ", ".join(str(process.pid) for process in processes_of(layout))
    if left:
        raise RunnerError(f"These processes could not be ended: {left}.")
    return len(ended)


def _end(processes: Iterable[psutil.Process], *, grace_seconds: float) -> None:
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            # PostgreSQL's SIGTERM waits for its clients; SIGINT is its quick and clean way out.
            is_postgresql = process.name() == "postgres"
            process.send_signal(signal.SIGINT if is_postgresql else signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=grace_seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=10)


def _belongs(process: psutil.Process, layout: Layout) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if _environment_of(process).get(MARK) == str(layout.state):
            return True
        if process.name() not in UNMARKED_PROGRAMS:
            return False
        return _working_directory_of(process).is_relative_to(layout.data)
    except (psutil.Error, OSError):
        # Gone meanwhile, or another user's: ours are readable, for we run as root or as their user.
        return False


def _environment_of(process: psutil.Process) -> Mapping[str, str]:
    try:
        return process.environ()
    except psutil.AccessDenied:
        lines = _seen_by_its_own_user(process, "cat", f"/proc/{process.pid}/environ").split("\0")
        return dict(line.partition("=")[::2] for line in lines)


def _working_directory_of(process: psutil.Process) -> Path:
    try:
        return Path(process.cwd())
    except psutil.AccessDenied:
        return Path(_seen_by_its_own_user(process, "readlink", f"/proc/{process.pid}/cwd").strip())


def _seen_by_its_own_user(process: psutil.Process, *command: str) -> str:
    # In a container root may lack the right to look into other users' processes; the users
    # themselves have it, and root may become them.
    if not running_as_root() or process.uids().real == 0:
        raise psutil.AccessDenied(process.pid)
    looked = subprocess.run(  # noqa: S603 - the commands are our own
        command,
        user=process.uids().real,
        group=process.gids().real,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    if looked.returncode != 0:
        raise psutil.AccessDenied(process.pid)
    return looked.stdout
