"""A Flask application with the conventions every service keeps."""

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import structlog
from flask import Flask, Response, g, jsonify, request
from flask_smorest import Api, Blueprint
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.routing import BaseConverter
from werkzeug.wsgi import get_input_stream

from octoco.context import WorkContext, read_traceparent, work_context
from octoco.database import Database
from octoco.errors import Refusal, Unavailable
from octoco.http.authentication import TokenKeys, install_authentication
from octoco.http.problems import CONTENT_TYPE, Problem, install_problems
from octoco.http.schemas import ProblemSchema
from octoco.ids import new_id
from octoco.spans import Kind, Span, span
from octoco.telemetry.health import readiness_body
from octoco.telemetry.metrics import HTTP_SECONDS, exposition

BODY_BYTES_MAX: Final = 1024 * 1024
# More than the gateway lets through.
DISCARDED_BYTES_MAX: Final = 4 * 1024 * 1024
_DISCARD_BYTES: Final = 64 * 1024
# Python refuses to read integers beyond a few thousand digits, and not as malformed JSON.
_ENDLESS_NUMBER: Final = re.compile(rb"(?:^|[:\[,\s])-?[0-9]{4000}")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
_PROBES: Final = ("/health/", "/metrics")
# A client may make up others, and what spans are named by is a short list.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})


@dataclass(frozen=True)
class HttpParts:
    """What a service brings to its HTTP application.

    Args:
        service: Its name.
        title: Of its OpenAPI document.
        database: Asked for readiness.
        token_keys: Public keys that verify access tokens.
        blueprints: Its routes.
        refusal_status: HTTP status of each of its refusals.
        raw_body_paths: Paths that take a body of any content type and read it themselves.
        callback_paths: Paths that third parties call. A trace begins there, whatever they send:
            theirs may well not be recorded, and is none of ours.
    """

    service: str
    title: str
    database: Database
    token_keys: TokenKeys
    blueprints: Sequence[Blueprint]
    refusal_status: Mapping[type[Refusal], int] = field(default_factory=dict)
    raw_body_paths: frozenset[str] = frozenset()
    callback_paths: frozenset[str] = frozenset()


class EntityIdConverter(BaseConverter):
    """`<entity_id:...>`: an id of ours; anything else in its place is not found."""

    regex = r"[a-z]{2,5}_[0-9A-HJKMNP-TV-Z]{26}"


def create_app(parts: HttpParts) -> Flask:
    """Build the application; nothing is connected before the first request.

    Guarantees that every error is problem+json with a stable code, that every answer carries
    X-Request-Id and Cache-Control: no-store, and that /health and /metrics answer.
    """
    app = Flask(parts.service)
    app.url_map.converters["entity_id"] = EntityIdConverter
    app.config.update(
        MAX_CONTENT_LENGTH=BODY_BYTES_MAX,
        API_TITLE=parts.title,
        API_VERSION="v1",
        OPENAPI_VERSION="3.1.0",
        PROPAGATE_EXCEPTIONS=False,
    )
    api = Api(app)
    api.ERROR_SCHEMA = ProblemSchema
    api.DEFAULT_ERROR_RESPONSE_NAME = None
    api.spec.components.security_scheme(
        "bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    )
    for blueprint in parts.blueprints:
        api.register_blueprint(blueprint)
    install_problems(app, parts.refusal_status)
    install_authentication(app, parts.token_keys)
    _install_frame(app, parts)
    _install_health(app, parts.database)
    app.extensions["octoco_api"] = api
    return app


def openapi_document(app: Flask) -> dict[str, Any]:
    """Return the application's OpenAPI 3.1 document, tokens and problems included."""
    api: Api = app.extensions["octoco_api"]
    document: dict[str, Any] = api.spec.to_dict()
    document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = _PROBLEM_SCHEMA
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        for method, operation in document.get("paths", {}).get(path, {}).items():
            if not isinstance(operation, dict) or method.upper() not in (rule.methods or ()):
                continue
            if getattr(view, "octoco_authenticated", False):
                operation["security"] = [{"bearer": []}]
            operation.setdefault("responses", {})["default"] = _PROBLEM_RESPONSE
    return document


_PROBLEM_SCHEMA: Final = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable; branch on it."},
        "detail": {"type": "string"},
        "field": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
        "request_id": {"type": "string"},
    },
}
_PROBLEM_RESPONSE: Final = {
    "description": "A problem (RFC 9457).",
    "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def _install_frame(app: Flask, parts: HttpParts) -> None:
    log = structlog.get_logger("octoco.http")

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else new_id("req")
        g.frame = _step(g.request_id, parts)
        g.span = g.frame.__enter__()
        _check_content_type(parts.raw_body_paths)
        _check_numbers()

    @app.after_request
    def finish(response: Response) -> Response:
        _read_to_the_end()
        response.headers["X-Request-Id"] = g.get("request_id", "")
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        if not _is_probe():
            _observe(log, response)
        return response

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        frame = g.pop("frame", None)
        if frame is not None:
            frame.__exit__(None, None, None)


def _step(request_id: str, parts: HttpParts) -> AbstractContextManager[Any]:
    given = None
    if request.path not in parts.callback_paths:
        given = read_traceparent(request.headers.get("traceparent"))
    context = WorkContext(correlation_id=request_id, traceparent=given)
    if _is_probe():
        return work_context(context)
    route = _route()
    method = request.method if request.method in _METHODS else "HTTP"
    return span(
        f"{method} {route}",
        kind=Kind.SERVER,
        context=context,
        attributes={
            "http.request.method": method,
            "http.route": route,
            "octoco.correlation_id": request_id,
        },
    )


def _is_probe() -> bool:
    return request.path.startswith(_PROBES)


def _route() -> str:
    return request.url_rule.rule if request.url_rule else "unmatched"


def _check_content_type(raw_body_paths: frozenset[str]) -> None:
    if request.method not in {"POST", "PUT", "PATCH"} or request.path in raw_body_paths:
        return
    has_body = bool(request.content_length) or "chunked" in request.headers.get(
        "Transfer-Encoding", ""
    )
    if request.url_rule is not None and has_body and not request.is_json:
        raise Problem(415, "unsupported_media_type", "Send the body as application/json.")


def _read_to_the_end() -> None:
    # An answer that leaves a body unread makes the server close the connection on the gateway,
    # which then has a 502 for this client or for the next one on that connection.
    try:
        unread = request.stream
    except RequestEntityTooLarge:
        unread = get_input_stream(request.environ)
    with suppress(ClientDisconnected):
        for _ in range(DISCARDED_BYTES_MAX // _DISCARD_BYTES):
            if not unread.read(_DISCARD_BYTES):
                return


def _check_numbers() -> None:
    if request.is_json and _ENDLESS_NUMBER.search(request.get_data()):
        raise Problem(400, "malformed_json", "The body holds a number of absurd length.")


def _observe(log: Any, response: Response) -> None:
    seconds = time.perf_counter() - g.get("began", time.perf_counter())
    route = _route()
    HTTP_SECONDS.labels(method=request.method, route=route, status=response.status_code).observe(
        seconds
    )
    user = g.get("octoco_user")
    _note(response.status_code)
    log.info(
        "request",
        method=request.method,
        route=route,
        status=response.status_code,
        milliseconds=round(seconds * 1000, 1),
        request_id=g.get("request_id"),
        user_id=user.user_id if user else None,
    )


def _note(status: int) -> None:
    step: Span | None = g.get("span")
    if step is not None:
        step.note({"http.response.status_code": status})
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            step.fail(str(status))


def _install_health(app: Flask, database: Database) -> None:
    @app.get("/health/live")
    def live() -> Response:
        return jsonify(status="live")

    @app.get("/health/ready")
    def ready() -> tuple[Response, int]:
        try:
            database.check()
            found = {"database": True}
        except Unavailable:
            found = {"database": False}
        return jsonify(readiness_body(found)), 200 if all(found.values()) else 503

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(exposition(), content_type=CONTENT_TYPE_LATEST)
