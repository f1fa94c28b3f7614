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
        begun_at: When the call was begun whose answer was never recorded, UTC; None if there was
            no such call.
    """

    kind: str
    subject_id: str
    data: Mapping[str, Any]
    attempt: int
    created_at: datetime
    due_at: datetime
    begun_at: datetime | None = None

    @property
    def was_begun(self) -> bool:
        """Say whether an earlier try may have made the call, and nobody knows what came of it.

        False is certain: no call was begun, or the answer of each that was is recorded. What must
        not happen twice is not called again while this is true; it is asked about.
        """
        return self.begun_at is not None


@dataclass(frozen=True, slots=True)
class Done:
    """The intent has reached its end; it is never performed again."""


@dataclass(frozen=True, slots=True)
class Again:
    """The intent is to be performed again.

    Args:
        reason: Why, for the operator; no secrets.
        after_seconds: How long to wait, which begins the counting of tries anew; None waits by
            the handler's schedule.
        in_doubt: Whether the answer leaves open what the call did: then the next try finds
            `Intent.was_begun`.
    """

    reason: str
    after_seconds: float | None = None
    in_doubt: bool = False


class IntentHandler(Protocol[U_contra, P, A]):
    """Performs one kind of intent in three steps, each of which may be the last one reached.

    A process may die after any step, and a call may outlive its lease. The intent is then leased
    again and `prepare` runs again, with `intent.was_begun` if the call was or may have been made.
    """

    @property
    def schedule_seconds(self) -> Sequence[float]:
        """Waits before the second, third, ... try; the last one repeats."""
        ...

    def prepare(self, unit: U_contra, intent: Intent) -> P | None:
        """Read what the call needs, in a unit of its own.

        That the call is begun is marked in this unit, so it is committed before `call`.

        Returns:
            What `call` needs, or None when nothing is left to do.
        """
        ...

    def call(self, prepared: P) -> A:
        """Call the outside. No unit of work is open.

        Raises:
            NotTried: it was turned away before anything was sent; no try is used up.
            Unavailable: no answer worth recording; the intent is tried again on its schedule,
                with `was_begun`, for the call may have had its effect.
        """
        ...

    def record(self, unit: U_contra, intent: Intent, *, prepared: P, answer: A) -> Done | Again:
        """Store what the answer means, in a unit that commits only while the lease is ours."""
        ...
