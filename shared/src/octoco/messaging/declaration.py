"""What a service says about its events: which it sends, which it listens to, and why."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from octoco.events import OutboundMessage


@dataclass(frozen=True, slots=True)
class EventDeclaration:
    """The events of one service, taken from the code that runs.

    Args:
        service: Its name, as in its queues.
        sends: The classes of what it announces.
        listens: For each event type the use case that the event is given to; what that says of
            itself is why the service listens.
        together: Those of the types that may be handled many at once.
    """

    service: str
    sends: tuple[type[OutboundMessage], ...] = ()
    listens: Mapping[str, Callable[..., object]] = field(default_factory=dict)
    together: frozenset[str] = frozenset()


def messages_of(module: ModuleType) -> tuple[type[OutboundMessage], ...]:
    """Return the message classes that a module defines, by event type.

    Args:
        module: A service's `messages.outbound`.
    """
    classes: list[tuple[str, type[Any]]] = inspect.getmembers(module, inspect.isclass)
    found = [
        kind
        for _, kind in classes
        if kind.__module__ == module.__name__ and isinstance(getattr(kind, "TYPE", None), str)
    ]
    return tuple(sorted(found, key=lambda kind: str(kind.TYPE)))


def purpose_of(use_case: Callable[..., object]) -> str:
    """Return what a use case says it does: the first paragraph of its docstring, on one line.

    Raises:
        ValueError: it says nothing.
    """
    said = inspect.getdoc(use_case)
    if not said:
        raise ValueError(f"{use_case.__module__}.{use_case.__qualname__} does not say what it does")
    return " ".join(said.split("\n\n")[0].split())
