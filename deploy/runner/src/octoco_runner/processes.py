"""Finding and ending the processes of one system, whoever started them and however it died."""

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import psutil

from octoco_runner.errors import RunnerError
from octoco_runner.layout import Layout

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
        if process.environ().get(MARK) == str(layout.state):
            return True
        if process.name() not in UNMARKED_PROGRAMS:
            return False
        return Path(process.cwd()).is_relative_to(layout.data)
    except (psutil.Error, OSError):
        # Gone meanwhile, or another user's: ours are readable, for we run as root or as their user.
        return False
