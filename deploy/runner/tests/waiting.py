"""Waiting for a condition with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T | None], *, what: str, within_seconds: float = 10) -> T:
    """The first truthy answer of `condition`; fails the test when none comes in time."""
    deadline = time.monotonic() + within_seconds
    while True:
        if answer := condition():
            return answer
        assert time.monotonic() < deadline, f"not within {within_seconds} s: {what}"
        time.sleep(0.05)
