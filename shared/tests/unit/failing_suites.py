"""Runs a conformance suite by hand, to see what of it fails."""

from collections.abc import Callable
from typing import Any

import pytest


def failures(suite: type[object], make_ground: Callable[[], object]) -> set[str]:
    """Run each test of a suite on a ground of its own; return the names of those that fail."""
    failed = set()
    for name, test in vars(suite).items():
        if not name.startswith("test_"):
            continue
        for arguments in _arguments_of(test):
            try:
                test(suite(), make_ground(), **arguments)
            except (AssertionError, pytest.fail.Exception):
                failed.add(name)
    return failed


def _arguments_of(test: Any) -> list[dict[str, Any]]:
    for mark in getattr(test, "pytestmark", ()):
        name, values = mark.args
        return [{name: value} for value in values]
    return [{}]
