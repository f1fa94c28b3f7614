"""The steps of traces that handling events makes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Final

from octoco.context import WorkContext, context_of
from octoco.events import Event
from octoco.spans import Attributes, Kind, Span, span, start_step

_TROUBLE: Final = frozenset({"dead", "retried"})


def step_of_handling(event: Event) -> AbstractContextManager[Span]:
    """Do a block as the handling of an event: a step of the trace that the event came with.

    Args:
        event: What is handled; its ids are the work's for the block.
    """
    return span(
        f"process {event.type}",
        kind=Kind.CONSUMER,
        context=context_of(event),
        attributes=_attributes(event),
    )


def note_result(step: Span, result: str) -> None:
    """Add to the step of a handling what became of the event."""
    step.note({"octoco.result": result})
    if result in _TROUBLE:
        step.fail(result)


@contextmanager
def steps_of_batch(event_type: str, events: Mapping[str, Event]) -> Iterator[Mapping[str, Event]]:
    """Do a block as the handling of several events: a step of its own, and one in each trace.

    They point to each other. If the block raises, the events' own steps never were: each event is
    handled by itself then.

    Args:
        event_type: Of all of them.
        events: By id.

    Yields:
        The events, each with the ids of its own step, so that what it sets in motion goes on from
        there.
    """
    came_with = [event.traceparent for event in events.values() if event.traceparent is not None]
    with span(
        f"process batch {event_type}",
        context=WorkContext(),
        links=came_with,
        attributes={
            "messaging.rabbitmq.destination.routing_key": event_type,
            "messaging.batch.message_count": len(events),
        },
    ) as batch:
        links = (batch.traceparent,)
        steps = {event.id: _step_within_batch(event, links) for event in events.values()}
        yield {
            event.id: replace(event, traceparent=steps[event.id].traceparent)
            for event in events.values()
        }
        for step in steps.values():
            step.end()


def _step_within_batch(event: Event, links: Sequence[str]) -> Span:
    return start_step(
        f"process {event.type}",
        kind=Kind.CONSUMER,
        context=context_of(event),
        links=links,
        attributes=_attributes(event),
    )


def _attributes(event: Event) -> Attributes:
    return {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.rabbitmq.destination.routing_key": event.type,
        "messaging.message.id": event.id,
        "messaging.message.conversation_id": event.correlation_id,
        "octoco.aggregate_id": event.aggregate_id,
        "octoco.source": event.source,
    }
