"""Health and metrics over HTTP for processes that have no web framework."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST

from octoco.telemetry.metrics import exposition

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def health_application(
    readiness: Callable[[], Mapping[str, bool]],
) -> Callable[[dict[str, Any], StartResponse], Iterable[bytes]]:
    """Make a WSGI application that answers /health/live, /health/ready and /metrics.

    Args:
        readiness: For each thing needed, whether it is there; asked at each request.
    """

    def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/health/live":
            return _json(start_response, "200 OK", {"status": "live"})
        if path == "/health/ready":
            found = readiness()
            status = "200 OK" if all(found.values()) else "503 Service Unavailable"
            return _json(start_response, status, readiness_body(found))
        if path == "/metrics":
            start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
            return [exposition()]
        return _json(start_response, "404 Not Found", {"status": 404, "code": "not_found"})

    return application


def readiness_body(found: Mapping[str, bool]) -> dict[str, object]:
    """Return the body of a readiness answer, which names what is missing."""
    return {
        "status": "ready" if all(found.values()) else "not_ready",
        "checks": {name: "ok" if good else "missing" for name, good in found.items()},
    }


def _json(start_response: StartResponse, status: str, body: Mapping[str, object]) -> list[bytes]:
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
