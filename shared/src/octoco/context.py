"""What is known about the work under way: its request, its trace and what caused it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from octoco.events import Event
from octoco.ids import new_id


def new_traceparent() -> str:
    """Start a trace: version 00, fresh trace and span ids, sampled.

    Source: W3C Trace Context, section 3.2.
    """
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"


@dataclass(frozen=True, slots=True)
class WorkContext:
    """Ids that travel with the work, into messages and logs.

    Args:
        correlation_id: The same for everything that one request set in motion.
        causation_id: The message whose handling this is; None outside of handlers.
        traceparent: W3C Trace Context header of the trace this work belongs to.
    """

    correlation_id: str = field(default_factory=lambda: new_id("cor"))
    causation_id: str | None = None
    traceparent: str = field(default_factory=new_traceparent)


def context_of(event: Event) -> WorkContext:
    """Return the context of handling an event: what it sets in motion was caused by it."""
    return WorkContext(
        correlation_id=event.correlation_id,
        causation_id=event.id,
        traceparent=event.traceparent or new_traceparent(),
    )


_current: ContextVar[WorkContext | None] = ContextVar("octoco_work_context", default=None)


def current_context() -> WorkContext:
    """Return the context of the work under way, or a fresh one where none was entered."""
    return _current.get() or WorkContext()


def entered_context() -> WorkContext | None:
    """Return the context of the work under way, or None outside of any."""
    return _current.get()


@contextmanager
def work_context(context: WorkContext) -> Iterator[None]:
    """Make `context` the current one for the block."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)
