"""A session's seed is named, and replays what it drew."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]

DRAWING = """
from hypothesis import given, settings
from hypothesis import strategies as st
from octoco.testing.seeds import examples

@settings(max_examples=examples(7))
@given(st.integers())
def test_draws(number):
    print("drew", number)
    assert number < 1000
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["octoco.testing.seeds"]\n')
    (tmp_path / "test_draws.py").write_text(DRAWING)

    def start(*arguments: str, **environment: str) -> str:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        ).stdout

    return start


def drawn(output: str) -> list[str]:
    return re.findall(r"^drew .*", output, re.MULTILINE)


def test_a_failure_names_the_command_that_draws_the_same_again(run: Run) -> None:
    first = run("-s", HYPOTHESIS_EXAMPLES="60")
    seed = re.search(r"^hypothesis seed: (\d+)$", first, re.MULTILINE)
    assert seed
    command = re.search(r"^HYPOTHESIS_EXAMPLES=60 make test ARGS=\"(.*)\"$", first, re.MULTILINE)
    assert command
    assert command[1] == f"test_draws.py::test_draws --hypothesis-seed={seed[1]}"
    again = run("-s", *command[1].split(), HYPOTHESIS_EXAMPLES="60")
    assert drawn(again) == drawn(first) != []


def test_every_session_has_a_seed_of_its_own(run: Run) -> None:
    headers = {re.findall(r"hypothesis seed: \d+", run("-k", "none"))[0] for _ in range(2)}
    assert len(headers) == 2
