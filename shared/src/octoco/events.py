"""Events as the services see them, without the broker's clothes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """A fact that some service announced.

    Args:
        id: Of this message; a repeat of the same message has the same id.
        type: Routing key, version last: `wallet.deposit.requested.v1`.
        source: The service that announced it.
        aggregate_id: What it is about; events of one aggregate keep their order.
        occurred_at: When it became true, timezone-aware UTC.
        data: The body, checked against the type's JSON Schema.
        correlation_id: Shared by everything that one request set in motion.
        causation_id: What it follows from: a message, a webhook's delivery, or the request that
            moved another one's saga on; None if the request of `correlation_id` caused it.
        traceparent: W3C Trace Context header, if the sender had a trace.
    """

    id: str
    type: str
    source: str
    aggregate_id: str
    occurred_at: datetime
    data: Mapping[str, Any]
    correlation_id: str
    causation_id: str | None = None
    traceparent: str | None = None


class OutboundMessage(Protocol):
    """What a service announces: one class for each message it may emit."""

    TYPE: ClassVar[str]

    @property
    def aggregate_id(self) -> str:
        """Return the id of what the message is about; it decides the order among messages."""
        ...

    def to_data(self) -> dict[str, object]:
        """Return the body as JSON-ready values that the type's schema accepts."""
        ...
