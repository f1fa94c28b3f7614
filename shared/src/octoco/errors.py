"""The error families every service shares.

OctocoError
├── Refusal                    understood, will never succeed as it stands (4xx, reply and ack)
│   ├── IdempotencyKeyReused   the key came before with another request
│   ├── IdempotencyKeyInFlight the key's first request is still running
│   └── IllegalTransition      the state asked for cannot follow the state that is
├── Unavailable                may succeed later (503, bounded retry)
│   ├── NotTried               turned away before anything was tried
│   └── DatabaseGone           the connection to the database is not, or is no more
├── TooEarly                   an event arrived before what it builds on: park it
└── ConfigurationError         the process must not start

Anything else that is raised is a bug.
"""

from collections.abc import Mapping
from typing import ClassVar


class OctocoError(Exception):
    """Root of everything the product raises on purpose."""


class Refusal(OctocoError):
    """Understood and turned down: the same request will never succeed as it stands.

    Args:
        message: One sentence for the person who asked; it may be shown to them.
        field: The input the refusal is about, if it is about one.
        details: Further facts, as JSON-ready values, shown beside the code.
    """

    code: ClassVar[str] = "refused"

    def __init__(self, message: str, *, field: str | None = None, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.details: Mapping[str, object] = details


class IdempotencyKeyReused(Refusal):
    """The idempotency key came before with a different request."""

    code = "idempotency_key_reused"


class IdempotencyKeyInFlight(Refusal):
    """The first request with this idempotency key has not finished yet."""

    code = "idempotency_key_in_flight"


class IllegalTransition(Refusal):
    """The state asked for cannot follow the present one."""

    code = "illegal_transition"


class Unavailable(OctocoError):
    """Something needed is away for the moment; the same request may succeed later."""

    code: ClassVar[str] = "unavailable"

    def __init__(self, message: str, *, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_seconds = retry_after_seconds


class NotTried(Unavailable):
    """Turned away before anything was tried, as by an open circuit; it uses up no try."""

    code = "not_tried"


class DatabaseGone(Unavailable):
    """There is no connection to the database, or it broke; whoever needs it can only wait."""


class TooEarly(OctocoError):
    """An event came before the one it builds on; it is parked until that one has arrived.

    Args:
        waits_for: What is missing, for the operator who looks at parked events,
            such as `user usr_01J...`.
    """

    def __init__(self, *, waits_for: str) -> None:
        super().__init__(f"waits for {waits_for}")
        self.waits_for = waits_for


class ConfigurationError(OctocoError):
    """The environment does not allow a start; the message names the variable."""
