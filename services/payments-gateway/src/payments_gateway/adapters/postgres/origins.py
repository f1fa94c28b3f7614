"""By which work a row came to be, in two of its columns."""

from typing import Any

from octoco.context import WorkContext


def origin_of(row: Any) -> WorkContext | None:
    """Return the work that a row was made by; None if that is not known."""
    if row.correlation_id is None:
        return None
    return WorkContext(correlation_id=row.correlation_id, traceparent=row.traceparent)


def origin_values(origin: WorkContext | None) -> dict[str, str | None]:
    """Return the two columns' values."""
    return {
        "correlation_id": None if origin is None else origin.correlation_id,
        "traceparent": None if origin is None else origin.traceparent,
    }
