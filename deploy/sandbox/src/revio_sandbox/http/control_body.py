"""Reads what control is sent, as JSON or as a form of its page, and answers either."""

from typing import Any

from flask import Response, jsonify, make_response, redirect, request

from revio_sandbox.outcomes import BadOutcome
from revio_sandbox.wire_json import parse_json

NUMBER_LIMIT = 1e12
INTEGER_MAX = 10**15
LIMIT_MAX = 1000


class ControlBody:
    """The body of a control call; every reader refuses what it does not understand.

    Forms send text only, so numbers and booleans are taken as text too.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()
        if request.form:
            self._values: dict[str, Any] = {k: v for k, v in request.form.items() if v != ""}
            return
        try:
            values = parse_json(request.get_data())
        except ValueError:
            raise BadOutcome("the body is not JSON") from None
        if not isinstance(values, dict):
            raise BadOutcome("the body must be a JSON object")
        self._values = values

    def require_all_read(self) -> None:
        """Refuse fields nobody asked for: a misspelt knob must not pass for a set one."""
        if unknown := sorted(set(self._values) - self._seen):
            raise BadOutcome(f"unknown fields {unknown}; known: {sorted(self._seen)}")

    def has(self, name: str) -> bool:
        """Whether the field was sent and is not null."""
        return self._take(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """Return a text."""
        value = self._take(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise BadOutcome(f"{name} must be a text")
        return value

    def integer(self, name: str, *, minimum: int = 0, default: int | None = None) -> int:
        """Return an integer of at least `minimum`; required when there is no default."""
        value = self._take(name)
        if value is None and default is not None:
            return default
        try:
            number = int(value) if isinstance(value, (str, int)) else None
        except ValueError:
            number = None
        if number is None or isinstance(value, bool) or not minimum <= number <= INTEGER_MAX:
            raise BadOutcome(f"{name} must be an integer from {minimum} to {INTEGER_MAX}")
        return number

    def number(self, name: str) -> float:
        """Return a number of at least 0."""
        value = self._take(name)
        try:
            number = float(value) if isinstance(value, (str, int, float)) else -1.0
        except ValueError:
            number = -1.0
        if isinstance(value, bool) or not 0 <= number < NUMBER_LIMIT:
            raise BadOutcome(f"{name} must be a number of at least 0")
        return number

    def boolean(self, name: str, *, default: bool) -> bool:
        """Return a boolean."""
        value = self._take(name)
        if value is None:
            return default
        if value in (True, "true", "on"):
            return True
        if value in (False, "false", "off"):
            return False
        raise BadOutcome(f"{name} must be true or false")

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a JSON object, which a form sends as text."""
        value = self._take(name)
        if isinstance(value, str):
            try:
                value = parse_json(value.encode())
            except ValueError:
                value = None
        if not isinstance(value, dict):
            raise BadOutcome(f"{name} must be a JSON object")
        return value

    def anything(self, name: str) -> Any:
        """Return the field as it is, or None."""
        return self._take(name)

    def _take(self, name: str) -> Any:
        self._seen.add(name)
        return self._values.get(name)


def answer_control(details: dict[str, Any], *, status: int = 200) -> Response:
    """Answer a control call: JSON, or back to the page when its form was sent."""
    if request.form:
        return make_response(redirect("/control/", code=303))
    response = jsonify(details)
    response.status_code = status
    return response


def query_limit(default: int = 50) -> int:
    """Return `limit` of the query, from 1 to 1000."""
    text = request.args.get("limit", str(default))
    if not text.isdecimal() or not 1 <= int(text) <= LIMIT_MAX:
        raise BadOutcome("limit must be from 1 to 1000")
    return int(text)
