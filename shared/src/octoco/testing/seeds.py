"""Pytest hooks that choose one Hypothesis seed for a session and say how to replay it.

Hypothesis would choose a seed for each test and name it only when that test fails. One seed for
all, named before the first test, can also be read off a run that hung or was killed.
"""

import os
import random
from collections.abc import Generator
from typing import Final

import pytest

_OPTION: Final = "hypothesis_seed"
# What else decides which examples are made: a replay needs it as it was.
EXAMPLES_VARIABLE: Final = "HYPOTHESIS_EXAMPLES"


def examples(usual: int) -> int:
    """Return how many examples a test makes: as usual, or what HYPOTHESIS_EXAMPLES says.

    Args:
        usual: Enough for a run that somebody waits for.
    """
    return int(os.environ.get(EXAMPLES_VARIABLE) or usual)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # Before Hypothesis reads its own option.
    if getattr(config.option, _OPTION, "") is None:
        config.option.hypothesis_seed = str(random.getrandbits(32))


def pytest_report_header(config: pytest.Config) -> str | None:
    seed = getattr(config.option, _OPTION, None)
    return f"hypothesis seed: {seed}" if seed else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # Hypothesis marks what it draws for; a test that runs a state machine by hand marks itself.
    seed = getattr(item.config.option, _OPTION, None)
    if report.failed and seed and item.get_closest_marker("hypothesis"):
        report.sections.append(("Replay", _command(item, seed)))
    return report


def _command(item: pytest.Item, seed: str) -> str:
    count = os.environ.get(EXAMPLES_VARIABLE)
    setting = f"{EXAMPLES_VARIABLE}={count} " if count else ""
    return f'{setting}make test ARGS="{item.nodeid} --hypothesis-seed={seed}"'
