"""Processes that die at named points, within a test or for real."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar, cast

from octoco.testing.saboteurs.chances import Chances

P = TypeVar("P")


class SimulatedCrash(BaseException):
    """The process is no more. No `except Exception` sees it, as none sees a power cut."""


def raise_crash(point: str) -> NoReturn:
    """Die within the process.

    Raises:
        SimulatedCrash: always.
    """
    raise SimulatedCrash(point)


def kill_process(point: str) -> NoReturn:
    """Die as a whole process does, at once and without a word: for tests of real processes."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise SimulatedCrash(point)


class Crash:
    """A process that may die at named points. Once dead it reaches no other point.

    What runs in `finally` and `except` on the way out would not run in a process that is killed;
    it runs here, and everything that a `crashing` part is asked for then raises again.

    Args:
        chances: Decide where it dies; None leaves that to `arm`.
        one_in: How often, on average, by point; a name that is a part of a point's will do.
        die: What dying is.
    """

    def __init__(
        self,
        chances: Chances | None = None,
        *,
        one_in: Mapping[str, int] | None = None,
        die: Callable[[str], NoReturn] = raise_crash,
    ) -> None:
        self._chances = chances
        self._one_in = one_in or {}
        self._die = die
        self._armed: dict[str, int] = {}
        self.reached: Counter[str] = Counter()
        self.died_at: str | None = None

    def arm(self, point: str, *, after: int = 0) -> None:
        """Die at a point.

        Args:
            point: Its whole name.
            after: How often it is passed first.
        """
        self._armed[point] = after

    def revive(self) -> None:
        """Begin as a new process."""
        self.died_at = None

    def reach(self, point: str) -> None:
        """Come by a point, and die there if that is what is to happen.

        Raises:
            SimulatedCrash: it dies here, or has died before.
        """
        if self.died_at is not None:
            raise SimulatedCrash(self.died_at)
        self.reached[point] += 1
        if self._is_armed(point) or self._is_drawn(point):
            self.died_at = point
            self._die(point)

    def _is_armed(self, point: str) -> bool:
        left = self._armed.get(point)
        if left is None:
            return False
        if left > 0:
            self._armed[point] = left - 1
            return False
        del self._armed[point]
        return True

    def _is_drawn(self, point: str) -> bool:
        if self._chances is None:
            return False
        for name, one_in in self._one_in.items():
            if name in point:
                return self._chances.happens(one_in)
        return False


def crashing(part: P, crash: Crash, *, name: str) -> P:
    """Wrap any part so that its process may die before and after each of its methods.

    The points are `before NAME.METHOD` and `after NAME.METHOD`.

    Args:
        part: A publisher, a store, leases, event handling, or whatever else is called.
        crash: Decides.
        name: Of the part.
    """
    return cast("P", _CrashingPart(part, crash, name))


class _CrashingPart:
    def __init__(self, part: object, crash: Crash, name: str) -> None:
        self._part = part
        self._crash = crash
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._part, attribute)
        if not callable(found):
            return found

        def call(*args: object, **kwargs: object) -> object:
            self._crash.reach(f"before {self._name}.{attribute}")
            result = found(*args, **kwargs)
            self._crash.reach(f"after {self._name}.{attribute}")
            return result

        return call
