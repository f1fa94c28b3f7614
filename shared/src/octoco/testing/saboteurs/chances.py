"""What decides whether something goes wrong, from a seed."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Chances:
    """Decides what goes wrong, and says how to have the same go wrong again.

    Args:
        seed: None draws one and prints it.
    """

    def __init__(self, seed: int | None = None) -> None:
        if seed is None:
            seed = random.SystemRandom().getrandbits(32)
            print(f"the saboteurs' seed is {seed}")  # noqa: T201 - pytest shows it with a failure
        self.seed = seed
        self.random = random.Random(seed)
        self.is_calm = False

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """Let `random` itself follow the seed for the block: waits are spread by it."""
        before = random.getstate()
        random.seed(self.seed)
        try:
            yield
        finally:
            random.setstate(before)

    def happens(self, one_in: int) -> bool:
        """Draw once.

        Args:
            one_in: Of so many draws one is true on average; 0 is never.
        """
        drawn = one_in > 0 and self.random.randrange(one_in) == 0
        return drawn and not self.is_calm


def shuffled(
    things: Sequence[T], *, chances: Chances, kept_in_order: Callable[[T], str | None]
) -> list[T]:
    """Return things in another order, in which those of one group keep theirs.

    Args:
        things: In their order.
        chances: Decide; while they are calm, nothing changes.
        kept_in_order: A thing's group; None is in none.
    """
    if chances.is_calm:
        return list(things)
    order = chances.random.sample(range(len(things)), len(things))
    groups: dict[str, list[int]] = {}
    for place in sorted(order):
        group = kept_in_order(things[place])
        if group is not None:
            groups.setdefault(group, []).append(place)
    turn = {group: iter(places) for group, places in groups.items()}
    # Each place of the new order goes to its group's next one.
    result = []
    for place in order:
        group = kept_in_order(things[place])
        result.append(things[place if group is None else next(turn[group])])
    return result
