"""Processes of a system are found by their mark, also those of other users."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from octoco_runner.layout import Layout, layout_for
from octoco_runner.processes import (
    MARK,
    _seen_by_its_own_user,
    end_processes_of,
    mark_of,
    processes_of,
)
from octoco_runner.server_users import FALLBACK_USER, running_as_root


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    made = layout_for(tmp_path / "state")
    made.make_folders()
    yield made
    end_processes_of(made, grace_seconds=1)


@pytest.fixture
def others_process(layout: Layout) -> Iterator[psutil.Process]:
    user = FALLBACK_USER if running_as_root() else None
    sleep = shutil.which("sleep") or "/bin/sleep"
    with subprocess.Popen([sleep, "600"], user=user, env=mark_of(layout), cwd="/") as started:
        yield psutil.Process(started.pid)
        started.kill()


def test_a_marked_process_is_found_and_ended_whoever_runs_it(
    layout: Layout, others_process: psutil.Process
) -> None:
    assert others_process in processes_of(layout)
    assert end_processes_of(layout, grace_seconds=5) == 1
    assert processes_of(layout) == []


def test_root_without_the_right_to_look_asks_the_processs_own_user(
    layout: Layout, others_process: psutil.Process
) -> None:
    path = f"/proc/{others_process.pid}/environ"
    if os.geteuid() != 0:
        with pytest.raises(psutil.AccessDenied):
            _seen_by_its_own_user(others_process, "cat", path)
        return
    assert f"{MARK}={layout.state}" in _seen_by_its_own_user(others_process, "cat", path)
