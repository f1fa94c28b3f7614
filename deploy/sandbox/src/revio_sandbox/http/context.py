"""What every route needs: the sandbox, the request's body, who calls."""

from typing import cast

from flask import current_app, request

from revio_sandbox.api_errors import refusal
from revio_sandbox.sandbox import Sandbox
from revio_sandbox.wire_json import parse_json

EXTENSION = "revio_sandbox"


def sandbox() -> Sandbox:
    """Return the sandbox that serves this request."""
    return cast(Sandbox, current_app.extensions[EXTENSION])


def json_body() -> object:
    """Return the request's JSON; an empty body is an empty object.

    Raises:
        ApiError: 400 `parse_error`, it is not JSON.
    """
    try:
        parsed: object = parse_json(request.get_data())
    except ValueError:
        raise refusal("parse_error", "JSON parse error.") from None
    return parsed


def client_ip() -> str:
    """Return the caller's address."""
    return request.remote_addr or ""
