"""Fixtures that every member's tests may ask for, and how what is logged is shown in them."""

import structlog

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
