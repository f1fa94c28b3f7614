"""Becomes nginx, after ending what a killed one left: `python -m octoco_runner.start_gateway`.

nginx's workers outlive a killed master and keep its port, so that a new master could not start.
"""

import os
import sys
from pathlib import Path

import psutil

END_SECONDS = 5


def main() -> None:
    """Run argv's nginx command in place of this process; the working folder tells whose it is."""
    end_orphans(Path.cwd())
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - the program the runner named


def end_orphans(folder: Path) -> int:
    """End every nginx process that works in `folder`; says how many there were."""
    orphans = [process for process in psutil.process_iter() if _is_orphan(process, folder)]
    for process in orphans:
        process.terminate()
    _, alive = psutil.wait_procs(orphans, timeout=END_SECONDS)
    for process in alive:
        process.kill()
    return len(orphans)


def _is_orphan(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.name() == "nginx" and Path(process.cwd()) == folder
    except (psutil.Error, OSError):
        return False


if __name__ == "__main__":
    main()
