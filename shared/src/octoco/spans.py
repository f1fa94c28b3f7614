"""Steps of a trace: what went on, as part of what, and for how long.

Where no tracer is installed (`octoco.telemetry.traces` has one) nothing is recorded, and only the
ids are made: new ones at each step, in the trace of the step before.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum, auto
from typing import Protocol

from octoco.context import WorkContext, current_context, new_traceparent, trace_id_of, work_context

Attributes = Mapping[str, str | int | bool]


class Kind(Enum):
    """On which side of what a step is."""

    SERVER = auto()  # answers a request
    CLIENT = auto()  # calls the outside
    PRODUCER = auto()  # hands a message on
    CONSUMER = auto()  # handles one
    INTERNAL = auto()


class Span(Protocol):
    """A step under way. Names, mail addresses, numbers of accounts and bodies are no attributes."""

    @property
    def traceparent(self) -> str:
        """Return the ids that what follows from this step carries."""
        ...

    def note(self, attributes: Attributes) -> None:
        """Add what has become known: ids, codes, counts."""
        ...

    def link(self, traceparent: str) -> None:
        """Point to a step of another trace that has to do with this one."""
        ...

    def fail(self, code: str) -> None:
        """Mark it as gone wrong; a code or the name of an error's class, never its message."""
        ...

    def end(self) -> None:
        """Say that it is over; one that is never ended is never seen."""
        ...


class Tracer(Protocol):
    """Makes steps."""

    @property
    def records(self) -> bool:
        """Say whether anything is kept but the ids."""
        ...

    def start(
        self,
        name: str,
        *,
        kind: Kind,
        parent: str | None,
        links: Sequence[str],
        attributes: Attributes | None,
    ) -> Span:
        """Begin a step.

        Args:
            name: Of few kinds: it names what is done, not to what.
            kind: On which side it is.
            parent: traceparent of the step that it is a part or a consequence of; None begins a
                trace.
            links: traceparents of steps of other traces that it has to do with.
            attributes: What is known at its beginning.
        """
        ...


class _IdsOnly:
    """What a step is where nothing is recorded."""

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent

    def note(self, attributes: Attributes) -> None:
        pass

    def link(self, traceparent: str) -> None:
        pass

    def fail(self, code: str) -> None:
        pass

    def end(self) -> None:
        pass


class _IdsOnlyTracer:
    records = False

    def start(
        self,
        name: str,  # noqa: ARG002 - the port's signature, here and below
        *,
        kind: Kind,  # noqa: ARG002
        parent: str | None,
        links: Sequence[str],  # noqa: ARG002
        attributes: Attributes | None,  # noqa: ARG002
    ) -> Span:
        return _IdsOnly(new_traceparent(parent))


_installed: list[Tracer] = [_IdsOnlyTracer()]
_active: ContextVar[Span | None] = ContextVar("octoco_span", default=None)
_until_commit: ContextVar[list[Span] | None] = ContextVar("octoco_until_commit", default=None)


def install_tracer(tracer: Tracer | None) -> None:
    """Let all steps of this process be made by a tracer; None records nothing from now on."""
    _installed[0] = tracer or _IdsOnlyTracer()


def start_step(
    name: str,
    *,
    kind: Kind = Kind.INTERNAL,
    context: WorkContext,
    links: Sequence[str] = (),
    attributes: Attributes | None = None,
) -> Span:
    """Begin a step that the caller ends, for where no block fits it; see `span`."""
    return _installed[0].start(
        name, kind=kind, parent=context.traceparent, links=links, attributes=attributes
    )


@contextmanager
def span(
    name: str,
    *,
    kind: Kind = Kind.INTERNAL,
    context: WorkContext | None = None,
    links: Sequence[str] = (),
    attributes: Attributes | None = None,
) -> Iterator[Span]:
    """Do the block as a step of a trace, in a work context that carries the step's ids.

    An exception that leaves the block marks the step as gone wrong.

    Args:
        name: See `Tracer.start`, as for the others.
        kind: On which side it is.
        context: Whose trace it goes on with; None for the work under way.
        links: traceparents of steps of other traces.
        attributes: What is known at its beginning.
    """
    context = context or current_context()
    started = start_step(name, kind=kind, context=context, links=links, attributes=attributes)
    token = _active.set(started)
    try:
        with work_context(
            WorkContext(context.correlation_id, context.causation_id, started.traceparent)
        ):
            yield started
    except BaseException as error:
        started.fail(type(error).__name__)
        raise
    finally:
        _active.reset(token)
        started.end()


@contextmanager
def continued(origin: WorkContext | None, name: str) -> Iterator[None]:
    """Do the block as a part of what began something, whoever moves it on now.

    So all of a saga is one trace, though a webhook, an operator or a schedule moved it. The trace
    that is left and the one that goes on point to each other, and what the block sets in motion
    names what is left as its cause.

    Args:
        origin: Of the work that began it; None, or the work under way, changes nothing.
        name: Of the step.
    """
    current = current_context()
    if origin is None or _is_same_work(origin, current):
        yield
        return
    context = WorkContext(
        correlation_id=origin.correlation_id,
        causation_id=current.causation_id or current.correlation_id,
        traceparent=origin.traceparent or current.traceparent,
    )
    links = () if current.traceparent is None else (current.traceparent,)
    left = _active.get()
    with span(name, context=context, links=links) as step:
        if left is not None:
            left.link(step.traceparent)
        yield


def hand_on(name: str, *, context: WorkContext, attributes: Attributes | None = None) -> str:
    """Make the step of storing a message, whose ids the message carries to whoever handles it.

    It lasts until the unit of work commits. If that is rolled back, the step never was.

    Args:
        name: See `Tracer.start`.
        context: Of which work the message is.
        attributes: Its ids and its type.

    Returns:
        The traceparent to store with it.
    """
    step = start_step(name, kind=Kind.PRODUCER, context=context, attributes=attributes)
    held = _until_commit.get()
    if held is None:
        step.end()
    else:
        held.append(step)
    return step.traceparent


@contextmanager
def ended_at_commit() -> Iterator[list[Span]]:
    """Let steps of storing messages in the block end with it; if it raises, they never were.

    Yields:
        Those made so far, to be cleared when a unit of work is begun again.
    """
    held: list[Span] = []
    token = _until_commit.set(held)
    try:
        yield held
    finally:
        _until_commit.reset(token)
    for step in held:
        step.end()


def are_recorded() -> bool:
    """Say whether steps are kept, or only their ids made."""
    return _installed[0].records


def _is_same_work(one: WorkContext, other: WorkContext) -> bool:
    traces = {trace_id_of(work.traceparent or "") for work in (one, other)}
    return one.correlation_id == other.correlation_id and len(traces) == 1
