"""Waiting in tests: for a condition, with a deadline."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

_PAUSE_SECONDS: Final = 0.02


def eventually(
    condition: Callable[[], T | bool | None],
    *,
    within_seconds: float = 10.0,
    what: str = "the condition",
) -> T:
    """Wait until `condition` returns something true, and return it.

    Raises:
        AssertionError: it did not within the time.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        found = condition()
        if found:
            return found  # type: ignore[return-value]
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what} did not come true within {within_seconds} s")
        time.sleep(_PAUSE_SECONDS)
