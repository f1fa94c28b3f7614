"""What every route needs: the sandbox, the request's body, who calls."""

import json
from typing import cast

from flask import current_app, request

from revio_sandbox.api_errors import refusal
from revio_sandbox.sandbox import Sandbox

EXTENSION = "revio_sandbox"


def sandbox() -> Sandbox:
    """Return the sandbox that serves this request."""
    return cast(Sandbox, current_app.extensions[EXTENSION])


def json_body() -> object:
    """Return the request's JSON; an empty body is an empty object.

    Raises:
        ApiError: 400 `parse_error`, it is not JSON.
    """
    raw = request.get_data()
    if not raw.strip():
        return {}
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise refusal("parse_error", "JSON parse error.") from None


def client_ip() -> str:
    """Return the caller's address."""
    return request.remote_addr or ""
