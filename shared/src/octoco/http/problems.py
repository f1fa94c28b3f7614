"""Every error answer is problem+json with a stable code (RFC 9457)."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException

from octoco.errors import (
    IdempotencyKeyInFlight,
    IdempotencyKeyReused,
    IllegalTransition,
    Refusal,
    Unavailable,
)
from octoco.money import CurrencyMismatch, InvalidAmount, UnknownCurrency
from octoco.telemetry.metrics import HTTP_PROBLEMS

CONTENT_TYPE: Final = "application/problem+json"

# The mechanism's own refusals; a service adds its own beside them.
SHARED_REFUSAL_STATUS: Final[Mapping[type[Refusal], int]] = {
    IdempotencyKeyReused: 422,
    IdempotencyKeyInFlight: 409,
    IllegalTransition: 409,
    InvalidAmount: 422,
    UnknownCurrency: 422,
    CurrencyMismatch: 422,
}
_CODES: Final = {
    400: "bad_request",
    401: "token_invalid",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "request_timeout",
    413: "body_too_large",
    414: "uri_too_long",
    415: "unsupported_media_type",
    422: "invalid_request",
    429: "too_many_requests",
    431: "headers_too_large",
    503: "unavailable",
}


class Problem(Exception):
    """An answer that is a problem, raised where no refusal of the domain fits.

    Args:
        status: HTTP status.
        code: Stable; clients branch on it.
        detail: One sentence for the person who asked.
        headers: Further headers of the answer.
        members: Further members of the body.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = dict(members or {})

    def response(self) -> Response:
        """Render the problem, and count it."""
        HTTP_PROBLEMS.labels(code=self.code).inc()
        body: dict[str, object] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **{name: value for name, value in self.members.items() if value is not None},
            "request_id": g.get("request_id"),
        }
        return Response(
            json.dumps(body), status=self.status, content_type=CONTENT_TYPE, headers=self.headers
        )


def install_problems(app: Flask, refusal_status: Mapping[type[Refusal], int]) -> None:
    """Make every error of the application a problem.

    Args:
        app: The application; its framework's own handlers must be installed before.
        refusal_status: HTTP status of each of the service's refusals.
    """
    table = {**SHARED_REFUSAL_STATUS, **refusal_status}
    log = structlog.get_logger("octoco.http")

    def on_refusal(refusal: Refusal) -> Response:
        known = [table[kind] for kind in type(refusal).__mro__ if kind in table]
        status = known[0] if known else HTTPStatus.UNPROCESSABLE_ENTITY
        return Problem(
            status,
            refusal.code,
            refusal.message,
            members={"field": refusal.field, **refusal.details},
        ).response()

    def on_unavailable(error: Unavailable) -> Response:
        log.warning("unavailable", code=error.code, error=error.message)
        seconds = str(max(1, round(error.retry_after_seconds)))
        return Problem(503, error.code, error.message, headers={"Retry-After": seconds}).response()

    def on_bug(error: Exception) -> Response:
        log.error("request_failed", exc_info=error)
        return Problem(500, "internal_error", "Something went wrong on our side.").response()

    app.register_error_handler(Problem, lambda problem: problem.response())
    app.register_error_handler(Refusal, on_refusal)
    app.register_error_handler(Unavailable, on_unavailable)
    app.register_error_handler(HTTPException, _on_http_exception)
    # Python's parser gives up on JSON that is nested thousands deep.
    app.register_error_handler(RecursionError, lambda _: _malformed_json().response())
    app.register_error_handler(Exception, on_bug)


def _malformed_json() -> Problem:
    return Problem(400, "malformed_json", "The body is not valid JSON.")


def _on_http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    messages = (getattr(error, "data", None) or {}).get("messages")
    if status == HTTPStatus.BAD_REQUEST and messages:
        return _malformed_json().response()
    if status == HTTPStatus.UNPROCESSABLE_ENTITY and isinstance(messages, dict):
        return _invalid_request(messages).response()
    headers = {
        name: value
        for name, value in error.get_headers()
        if name in {"Allow", "Retry-After", "WWW-Authenticate"}
    }
    code = _CODES.get(
        status, "internal_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "bad_request"
    )
    detail = error.description or HTTPStatus(status).phrase
    return Problem(status, code, detail, headers=headers).response()


def _invalid_request(messages: Mapping[str, Any]) -> Problem:
    errors = [
        {"field": field, "code": "invalid", "detail": detail}
        for place in messages.values()
        for field, detail in _flatten(place)
    ]
    first = errors[0]["field"] if errors else None
    return Problem(
        422,
        "invalid_request",
        "The request does not have the form this route expects.",
        members={"field": first, "errors": errors},
    )


def _flatten(messages: object, path: str = "") -> Sequence[tuple[str, str]]:
    if isinstance(messages, Mapping):
        return [
            pair
            for name, inner in messages.items()
            for pair in _flatten(inner, f"{path}.{name}" if path else str(name))
        ]
    if isinstance(messages, list):
        return [pair for inner in messages for pair in _flatten(inner, path)]
    return [(path, str(messages))]
