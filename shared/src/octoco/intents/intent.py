"""What an intent is, and what performs one kind of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

U_contra = TypeVar("U_contra", contravariant=True)
P = TypeVar("P")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Intent:
    """A call that is to be made.

    Args:
        kind: Which handler performs it.
        subject_id: What it is for.
        data: What was stored with it.
        attempt: Which try this is since the last answer that named its own time, from 1; a try
            whose process died counts.
        created_at: When it was stored, UTC.
        due_at: When this try was due, UTC.
    """

    kind: str
    subject_id: str
    data: Mapping[str, Any]
    attempt: int
    created_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Done:
    """The intent has reached its end; it is never performed again."""


@dataclass(frozen=True, slots=True)
class Again:
    """The intent is to be performed again.

    Args:
        after_seconds: How long to wait, which begins the counting of tries anew; None waits by
            the handler's schedule.
        reason: Why, for the operator; no secrets.
    """

    reason: str
    after_seconds: float | None = None


class IntentHandler(Protocol[U_contra, P, A]):
    """Performs one kind of intent in three steps, each of which may be the last one reached.

    A process may die after any step. The intent is then leased again and `prepare` runs again,
    so what must not happen twice is marked in `prepare` and looked for there.
    """

    @property
    def schedule_seconds(self) -> Sequence[float]:
        """Waits before the second, third, ... try; the last one repeats."""
        ...

    def prepare(self, unit: U_contra, intent: Intent) -> P | None:
        """Read what the call needs and mark it begun, in a unit of its own.

        Returns:
            What `call` needs, or None when nothing is left to do.
        """
        ...

    def call(self, prepared: P) -> A:
        """Call the outside. No unit of work is open.

        Raises:
            Unavailable: no answer worth recording; the intent is tried again on its schedule.
        """
        ...

    def record(self, unit: U_contra, intent: Intent, *, prepared: P, answer: A) -> Done | Again:
        """Store what the answer means, in a unit that commits only while the lease is ours."""
        ...
