"""Supervised processes, real and small: kept alive, stopped, found again after kill -9."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from octoco.testing import eventually
from octoco_runner.errors import NotReady, RunnerError
from octoco_runner.layout import Layout, layout_for
from octoco_runner.processes import MARK, end_processes_of, mark_of, processes_of
from octoco_runner.servers import wait_until_ready
from octoco_runner.supervision import Program, Supervisor, log_of, render_configuration

SLEEPER = [sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(600)"]
# Ends neither on request nor with its parent, and has a child that does not either.
STUBBORN = [
    "/bin/sh",
    "-c",
    "trap '' TERM; (trap '' TERM; while :; do sleep 0.2; done) & while :; do sleep 0.2; done",
]


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    made = layout_for(tmp_path / "state")
    made.make_folders()
    yield made
    end_processes_of(made, grace_seconds=1)


def started(layout: Layout, *programs: Program) -> Supervisor:
    supervisor = Supervisor(layout)
    supervisor.start(programs)
    for program in programs:
        supervisor.start_program(program.name)
    return supervisor


def running_pid(supervisor: Supervisor, name: str, *, other_than: int = 0) -> int:
    def look() -> int | None:
        state = supervisor.state_of(name)
        if not state.is_running or state.pid == other_than:
            return None
        # For a moment after its fork a process still is what supervisor is.
        command = " ".join(psutil.Process(state.pid).cmdline())
        return state.pid if command and "supervisor" not in command else None

    return eventually(look, what=f"{name} runs", within_seconds=20)


def sleeper(name: str = "sleeper", **environment: str) -> Program:
    return Program(name, SLEEPER, environment=environment, start_seconds=0)


def test_a_process_that_dies_is_started_again(layout: Layout) -> None:
    supervisor = started(layout, sleeper())
    first = running_pid(supervisor, "sleeper")

    os.kill(first, signal.SIGKILL)

    assert running_pid(supervisor, "sleeper", other_than=first) != first


def test_a_process_that_never_starts_is_reported_with_its_log(layout: Layout) -> None:
    failing = Program("failing", ["/bin/sh", "-c", "echo no such setting: X; exit 2"])
    supervisor = started(layout, failing)

    def check() -> None:
        raise NotReady("no answer")

    with pytest.raises(NotReady) as failed:
        wait_until_ready(supervisor, layout, "failing", check=check, timeout_seconds=1)

    assert "no such setting: X" in failed.value.log_tail


def test_secrets_travel_in_the_environment_and_never_on_a_command_line(layout: Layout) -> None:
    secret = "postgresql://wallet:s3cr%et_-@h/x?a=b,c;d"
    supervisor = started(layout, sleeper(DATABASE_URL=secret))

    process = psutil.Process(running_pid(supervisor, "sleeper"))

    assert process.environ()["DATABASE_URL"] == secret
    assert process.environ()[MARK] == str(layout.state)
    lines = [" ".join(found.cmdline()) for found in processes_of(layout)]
    assert not any("s3cr" in line for line in lines)
    mode = (layout.run / "supervisor.conf").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_the_callers_environment_does_not_reach_a_process(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("DATABASE_URL", "x")

    supervisor = started(layout, sleeper())

    environment = psutil.Process(running_pid(supervisor, "sleeper")).environ()
    assert "AWS_SECRET_ACCESS_KEY" not in environment
    assert "DATABASE_URL" not in environment


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb"])
def test_a_value_the_configuration_cannot_carry_is_refused_by_name(
    layout: Layout, value: str
) -> None:
    with pytest.raises(RunnerError, match="SECRET"):
        render_configuration(layout, [sleeper(SECRET=value)])


def test_stopping_ends_even_what_does_not_listen(layout: Layout) -> None:
    stubborn = Program("stubborn", STUBBORN, start_seconds=0, stop_wait_seconds=1)
    supervisor = started(layout, stubborn, sleeper())
    running_pid(supervisor, "stubborn")

    supervisor.stop_programs(["stubborn", "sleeper", "not-configured"])
    supervisor.shut_down()
    eventually(lambda: not supervisor.answers(), what="the supervisor is gone")
    end_processes_of(layout)

    assert processes_of(layout) == []


def test_after_kill_9_of_the_supervisor_the_orphans_are_found_and_ended(layout: Layout) -> None:
    stubborn = Program("stubborn", STUBBORN, start_seconds=0)
    supervisor = started(layout, stubborn, sleeper())
    orphan = psutil.Process(running_pid(supervisor, "sleeper"))
    running_pid(supervisor, "stubborn")
    supervisor_pid = int((layout.run / "supervisor.pid").read_text())

    psutil.Process(supervisor_pid).kill()
    eventually(lambda: not supervisor.answers(), what="the supervisor is gone")
    assert orphan.is_running()
    ended = end_processes_of(layout, grace_seconds=0.5)

    assert ended >= 3
    assert processes_of(layout) == []
    assert end_processes_of(layout) == 0
    # And the same state folder starts again.
    running_pid(started(layout, sleeper()), "sleeper")


def test_processes_of_another_state_folder_are_left_alone(layout: Layout, tmp_path: Path) -> None:
    other = layout_for(tmp_path / "state-of-another")
    other.make_folders()
    with subprocess.Popen(SLEEPER, env={**os.environ, **mark_of(other)}) as neighbour:
        try:
            end_processes_of(layout)

            assert neighbour.poll() is None
            assert [found.pid for found in processes_of(other)] == [neighbour.pid]
        finally:
            neighbour.kill()


def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    state = tmp_path / ("a long name " * 8).strip() / "and 100% more" / "state"
    layout = layout_for(state)
    layout.make_folders()
    try:
        supervisor = started(layout, sleeper())
        running_pid(supervisor, "sleeper")

        assert stat.S_IMODE(layout.sockets.stat().st_mode) == 0o700
        eventually(log_of(layout, "sleeper").read_text, what="its log is written")
    finally:
        end_processes_of(layout, grace_seconds=1)
        layout.remove()
    assert not layout.sockets.exists()
