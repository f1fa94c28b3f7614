"""What is known about the work under way: its request, its trace and what caused it."""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from octoco.events import Event
from octoco.ids import new_id

_TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.{0,200})?"
)
_SAMPLED: Final = 0x01


def new_traceparent(parent: str | None = None) -> str:
    """Make the ids of a step: a child of the step before, or the first one of a new trace.

    A trace that begins here says that nobody recorded it, for these are ids without a span.

    Args:
        parent: The step before, in the form of version 00; None begins a trace.
    """
    # Zeros mean "none"; the lowest bit keeps all others free.
    span_id = random.getrandbits(64) | 1
    if parent is None:
        return f"00-{random.getrandbits(128) | 1:032x}-{span_id:016x}-00"
    return f"{parent[:36]}{span_id:016x}{parent[52:]}"


def read_traceparent(given: object) -> str | None:
    """Take a traceparent from whoever sent it.

    A version to come is read as far as it is like this one, and flags that mean nothing to us are
    cleared.

    Args:
        given: What came in its place, of any type and length.

    Returns:
        It in the form of version 00; None if it is none, and then a trace begins here.

    Source: W3C Trace Context, sections 3.2.2 (fields), 3.2.4 (versions) and 4.3 (what to change).
    """
    if not isinstance(given, str):
        return None
    found = _TRACEPARENT.fullmatch(given)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "00" and more is not None:
        return None
    return f"00-{trace_id}-{span_id}-{int(flags, 16) & _SAMPLED:02x}"


def trace_id_of(traceparent: str) -> str:
    return traceparent[3:35]


def span_id_of(traceparent: str) -> str:
    return traceparent[36:52]


@dataclass(frozen=True, slots=True)
class WorkContext:
    """Ids that travel with the work, into messages and logs.

    Args:
        correlation_id: The same for everything that one request set in motion.
        causation_id: What this work follows from: the message that is handled, the webhook that
            is looked into, the request that another one's saga goes on by; None in a request.
        traceparent: W3C Trace Context of the step of the trace that the work is in; None where no
            trace has begun, and then the next step begins one.
    """

    correlation_id: str = field(default_factory=lambda: new_id("cor"))
    causation_id: str | None = None
    traceparent: str | None = None


def context_of(event: Event) -> WorkContext:
    """Return the context of handling an event: what it sets in motion was caused by it."""
    return WorkContext(
        correlation_id=event.correlation_id,
        causation_id=event.id,
        traceparent=event.traceparent,
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


@contextmanager
def caused_by(causation_id: str) -> Iterator[None]:
    """Say what the block's work follows from; its request and its trace stay the same.

    Args:
        causation_id: Of a message, a webhook's delivery, or the like.
    """
    context = current_context()
    with work_context(WorkContext(context.correlation_id, causation_id, context.traceparent)):
        yield
