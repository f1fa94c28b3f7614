"""Fixtures that every member's tests may ask for, and how what is logged is shown in them."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

pytest_plugins = ["octoco.testing.provisions", "octoco.testing.seeds"]

# As structlog is by itself, but for exceptions: those it would draw with every local variable,
# which takes a second for each.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.StackInfoRenderer(),
        structlog.dev.set_exc_info,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

# How fast examples are made says how busy the machine is, and nothing about the code.
settings.register_profile("here", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Put back what a test that starts a process's entry point has made of logging."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level, level_of_pika = root.handlers[:], root.level, logging.getLogger("pika").level
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("pika").setLevel(level_of_pika)
