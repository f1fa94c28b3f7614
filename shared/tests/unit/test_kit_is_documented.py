"""The page about the kit: its example runs, and it names everything that is offered."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import octoco.testing
from octoco.testing import (
    conformance,
    memory_broker,
    memory_publisher,
    memory_stores,
    saboteurs,
    stepping,
)

PAGE = Path(__file__).parents[3] / "docs/how-to/test-with-the-kit.md"
# What a broker in memory hands out has pika's names.
OF_PIKA = {"MemoryConnection", "MemoryChannel"}


def offered(module: ModuleType) -> Iterator[str]:
    """Name what a module exports, or defines where it does not say."""
    if hasattr(module, "__all__"):
        yield from module.__all__
        return
    for name, found in vars(module).items():
        if isinstance(found, type) and found.__module__ == module.__name__ and name[0] != "_":
            yield name


@pytest.mark.parametrize(
    "module",
    [
        octoco.testing,
        conformance,
        memory_broker,
        memory_publisher,
        memory_stores,
        saboteurs,
        stepping,
    ],
    ids=lambda module: module.__name__,
)
def test_the_page_names_everything_that_is_offered(module: ModuleType) -> None:
    named = set(re.findall(r"`([\w.]+)(?:\(\))?`", PAGE.read_text()))
    assert set(offered(module)) - OF_PIKA <= named


def example() -> dict[str, Any]:
    """Run the page's example as a module and return its tests."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    module: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), module)  # noqa: S102 - it is our own page
    return {name: found for name, found in module.items() if name.startswith("test_")}


@pytest.mark.parametrize("name", example())
def test_the_example_runs_as_it_stands(name: str, tmp_path: Path) -> None:
    example()[name](tmp_path)
