"""What a try to hand a mail to the server came to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server took it (250 after the body)."""


@dataclass(frozen=True, slots=True)
class RefusedForNow:
    """The mail surely did not go out, and may go out later (4xx, no connection).

    Args:
        reason: For the operator; no addresses.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class RefusedForGood:
    """The server will never take it (5xx).

    Args:
        reason: For the operator; no addresses.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """The connection broke after the body was begun: the mail may have gone out.

    Args:
        reason: For the operator; no addresses.
    """

    reason: str


Outcome = Accepted | RefusedForNow | RefusedForGood | Unclear
