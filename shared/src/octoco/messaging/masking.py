"""Messages as they may be shown: whatever they hold, and whatever is wrong with them, no secret."""

import base64
import datetime as dt
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from octoco.messaging.contracts import MASKED, SECRET, Contracts
from octoco.telemetry.logs import is_secret_name

# What is nested deeper is no event of anybody's, and is taken for mere text.
DEPTH_MAX: Final = 100
# A field of what is no JSON as a whole, as a body that was cut off may not be: its name, and its
# value up to whatever ends it, or the beginning of a list or an object.
_FIELD: Final = re.compile(
    r'"((?:[^"\\]|\\.)*)"(\s*:\s*)("(?:[^"\\]|\\.)*"?|[^\s,\[\]{}"]+|(?=[\[{]))'
)


class Masking:
    """Masks what the schemas mark as secret, and every field whose name speaks of one.

    Args:
        contracts: The schemas.
    """

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts
        self._names = frozenset(
            name for each in contracts.event_types for name in _marked(contracts.schema(each))
        )

    def body(self, event_type: str | None, body: bytes) -> Any:
        """Return a body to be shown or kept, as JSON-ready values.

        Args:
            event_type: What it says it is; None if it says nothing.
            body: As it came, which may be anything.

        Returns:
            A JSON body's value; text that is no JSON as text; `{"base64": …}` for what is no text.
        """
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(body).decode()}
        try:
            data = json.loads(text, parse_constant=str)
            if event_type in self._contracts.event_types:
                return self._by_name(self._contracts.masked(str(event_type), data), frozenset())
            return self._by_name(data, self._names)
        except (ValueError, RecursionError):
            return self._broken(text)

    def headers(self, headers: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return a message's headers to be shown or kept, as JSON-ready values."""
        return {
            name: MASKED if self._is_secret(name) else value
            for name, value in json_ready(dict(headers or {})).items()
        }

    def _by_name(self, data: Any, names: frozenset[str], *, depth: int = 0) -> Any:
        if depth > DEPTH_MAX:
            raise RecursionError
        if isinstance(data, dict):
            return {
                name: MASKED
                if name in names or is_secret_name(name)
                else self._by_name(value, names, depth=depth + 1)
                for name, value in data.items()
            }
        if isinstance(data, list):
            return [self._by_name(value, names, depth=depth + 1) for value in data]
        return data

    def _broken(self, text: str) -> str:
        shown, place = [], 0
        for found in _FIELD.finditer(text):
            name, between, value = found.groups()
            if not self._is_secret(name):
                continue
            shown += [text[place : found.start()], f'"{name}"{between}"{MASKED}"']
            place = found.end()
            if not value:
                # Nobody knows where a list or an object ends that may be cut off.
                return "".join(shown)
        return "".join([*shown, text[place:]])

    def _is_secret(self, name: str) -> bool:
        return name in self._names or is_secret_name(name)


def json_ready(value: Any) -> Any:
    """Return an AMQP field's value as one that JSON has: instants in RFC 3339, bytes as text."""
    ready: Any
    match value:
        case dict():
            ready = {str(name): json_ready(each) for name, each in value.items()}
        case list():
            ready = [json_ready(each) for each in value]
        case bool() | None:
            ready = value
        case int():
            ready = int(value)
        case float():
            ready = value if math.isfinite(value) else str(value)
        case bytes():
            ready = value.decode(errors="backslashreplace")
        case dt.datetime():
            # AMQP's timestamps are UTC and do not say so.
            ready = (value if value.tzinfo else value.replace(tzinfo=dt.UTC)).isoformat()
        case _:
            ready = str(value)
    return ready


def _marked(schema: Mapping[str, Any]) -> set[str]:
    names: set[str] = set()
    for name, rule in schema.get("properties", {}).items():
        names |= {name} if _is_marked(rule) else _marked(rule)
    return names | _marked(schema["items"]) if "items" in schema else names


def _is_marked(rule: Mapping[str, Any]) -> bool:
    return bool(rule.get(SECRET)) or ("items" in rule and _is_marked(rule["items"]))
