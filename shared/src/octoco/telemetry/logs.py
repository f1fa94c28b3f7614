"""Structured logs: one JSON object a line, with the ids of the work and never a secret."""

import logging
import logging.config
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from octoco.context import entered_context, span_id_of, trace_id_of

MASK: Final = "[masked]"
_SECRET_WORDS: Final = (
    "password",
    "secret",
    "token",
    "authorization",
    "signature",
    "account_number",
    "execution_url",
    "cookie",
    "api_key",
)
_SAFE_NAMES: Final = frozenset({"token_id", "tokens_deleted"})


def is_secret_name(name: str) -> bool:
    """Whether a field's name speaks of a secret, so that its value is shown to nobody."""
    return name not in _SAFE_NAMES and any(word in name.lower() for word in _SECRET_WORDS)


def configure_logging(*, service: str, process: str, level: str) -> None:
    """Send everything that is logged to standard output as JSON lines.

    Args:
        service: Which service speaks.
        process: `web` or `worker`.
        level: Name of the lowest level that is written.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _add_work_ids,
        _mask_secrets,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        ),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _named(service, process),
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # pika tells of every connection attempt at INFO; its trouble reaches us as exceptions.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def _add_work_ids(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    context = entered_context()
    if context is None:
        return event
    event.setdefault("correlation_id", context.correlation_id)
    if context.causation_id:
        event.setdefault("causation_id", context.causation_id)
    if context.traceparent is not None:
        event.setdefault("trace_id", trace_id_of(context.traceparent))
        event.setdefault("span_id", span_id_of(context.traceparent))
    return event


def _mask_secrets(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for name in event:
        if is_secret_name(name):
            event[name] = MASK
    return event


def _named(service: str, process: str) -> Any:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
        return {"service": service, "process": process, **event}

    return add
