"""What the mail server is told to do wrong, so that senders can be tested."""

import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PERMANENT: Final = 500


class FaultKind(StrEnum):
    """How a delivery goes wrong."""

    REFUSE = "refuse"
    """The mail is answered with an error code and not kept."""
    DROP_BEFORE = "drop_before_accepting"
    """The connection breaks when the mail has been sent; it is not kept."""
    DROP_AFTER = "drop_after_accepting"
    """The mail is kept, and the connection breaks before the sender is told."""


@dataclass(frozen=True)
class Fault:
    """One instruction: the next `times` mails (to `to`, or to anybody) go wrong this way."""

    kind: FaultKind
    times: int = 1
    code: int = 451
    to: str | None = None


class Faults:
    """The instructions that are left; taken by the mail server, given over HTTP."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._left.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._left.clear()

    def left(self) -> list[Fault]:
        with self._lock:
            return list(self._left)

    def take(self, recipients: list[str]) -> Fault | None:
        """The fault for a mail that is being delivered, used up by one."""
        names = {recipient.casefold() for recipient in recipients}
        with self._lock:
            for place, fault in enumerate(self._left):
                if fault.to is not None and fault.to.casefold() not in names:
                    continue
                if fault.times > 1:
                    rest = Fault(fault.kind, fault.times - 1, fault.code, fault.to)
                    self._left[place] = rest
                else:
                    del self._left[place]
                return fault
        return None
