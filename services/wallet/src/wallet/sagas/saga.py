"""What a saga is made of: steps with their command, answers, compensation and deadline."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from octoco.events import OutboundMessage
from wallet.domain.transactions import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a saga.

    Args:
        name: Stored with the transaction while the saga waits here.
        does: What happens, for people.
        command: The message that asks another service to act; None where the step is ours.
        answers: Types of the events that end the wait.
        compensation: What undoes the saga's effect when this step ends badly.
        decisions: What people may do that ends the wait.
        deadline: After this long without an answer the step is overdue: it is reported, counted
            and looked at by a person. Nothing is ever undone by time. None: does not wait.
    """

    name: str
    does: str
    command: type[OutboundMessage] | None
    answers: Sequence[str]
    compensation: str
    deadline: timedelta | None
    decisions: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Saga:
    """A process as a list of steps.

    Args:
        name: As people say it.
        steps: In order; a saga may end at any step that waits.
    """

    name: str
    steps: Sequence[Step]

    def await_answers(
        self, transaction: Transaction, step: Step, *, at: datetime, not_before: datetime | None
    ) -> None:
        """Let the transaction's saga wait at a step.

        Args:
            transaction: Whose saga it is.
            step: One of this saga's, with a deadline.
            at: When the wait begins, UTC.
            not_before: The deadline counts from here if this is later than `at`, UTC.
        """
        assert step in self.steps
        assert step.deadline is not None
        transaction.saga_step = step.name
        transaction.saga_step_at = at
        transaction.saga_step_due_at = max(at, not_before or at) + step.deadline

    def end(self, transaction: Transaction, *, at: datetime) -> None:
        """Let the transaction's saga wait for nothing any more."""
        transaction.saga_step = None
        transaction.saga_step_at = at
        transaction.saga_step_due_at = None
