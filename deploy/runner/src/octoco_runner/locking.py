"""One starter or stopper at a time per state folder."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(lock_file: Path, *, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock for the block; wait while another runner holds it.

    The kernel releases the lock with its holder, so that a killed runner leaves none behind.

    Args:
        lock_file: Made when missing. It holds its holder's process id, for people.
        on_wait: Called once with the holder's process id before waiting begins.
    """
    descriptor = _lock(lock_file, on_wait)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _lock(lock_file: Path, on_wait: Callable[[str], None]) -> int:
    said = False
    while True:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not said:
                on_wait(os.pread(descriptor, 32, 0).decode() or "unknown")
                said = True
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # "clean" removes the file while holding it: a lock on a removed file guards nothing.
        try:
            if lock_file.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)
