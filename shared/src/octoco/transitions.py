"""A table of legal state changes: the one place where a state machine is written down."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Generic, TypeVar

from octoco.errors import IllegalTransition

S = TypeVar("S", bound=StrEnum)


class TransitionTable(Generic[S]):
    """Which states may follow which.

    Args:
        moves: For every state the states that may follow it; a final state has an empty set.

    Raises:
        ValueError: a state that some move leads to has no line of its own.
    """

    def __init__(self, moves: Mapping[S, AbstractSet[S]]) -> None:
        self._moves = {state: frozenset(following) for state, following in moves.items()}
        unlisted = {to for following in self._moves.values() for to in following} - set(self._moves)
        if unlisted:
            raise ValueError(f"states without a line of their own: {sorted(unlisted)}")

    @property
    def moves(self) -> Mapping[S, frozenset[S]]:
        return self._moves

    def allows(self, current: S, following: S) -> bool:
        return following in self._moves[current]

    def is_final(self, state: S) -> bool:
        return not self._moves[state]

    def require(self, current: S, following: S) -> None:
        """Let a legal move pass.

        Raises:
            IllegalTransition: `following` may not come after `current`.
        """
        if not self.allows(current, following):
            raise IllegalTransition(
                f"{current.value} cannot become {following.value}.",
                current=current.value,
                following=following.value,
            )

    def as_mermaid(self, *, starts: Sequence[S]) -> str:
        """Draw the table as a Mermaid state diagram, in the table's own order.

        Args:
            starts: The states that something may begin in.
        """
        lines = ["stateDiagram-v2", *(f"    [*] --> {start.value}" for start in starts)]
        for state, following in self._moves.items():
            order = [to for to in self._moves if to in following]
            lines += [f"    {state.value} --> {to.value}" for to in order]
            if not order:
                lines.append(f"    {state.value} --> [*]")
        return "\n".join(lines)
