"""What can go wrong while running the system, said so that the reader knows what to do next."""

from collections.abc import Sequence


class RunnerError(Exception):
    """The command cannot go on. The message is for a person and names the way out."""


class PortsTaken(RunnerError):
    """At least one port this system needs is in use."""


class PackagesMissing(RunnerError):
    """A system package is missing and this user may not install it."""


class NotReady(RunnerError):
    """A process did not become ready in time; carries the end of its log.

    `log_tail` holds the last lines as they stand in the log, for the person to read.
    """

    def __init__(self, message: str, *, log_tail: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.log_tail = tuple(log_tail)


class StoryFailed(RunnerError):
    """The story could not be played to its end."""
