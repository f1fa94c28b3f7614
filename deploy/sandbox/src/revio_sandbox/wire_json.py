"""Reads JSON as it may come over the wire, and refuses what could not be written back."""

import json
from typing import Any, NoReturn


def parse_json(raw: bytes) -> Any:
    """Return what `raw` says; an empty body is an empty object.

    Raises:
        ValueError: not JSON, or JSON with what neither UTF-8 nor the JSON standard can hold:
            lone surrogates, NaN, infinities.
    """
    if not raw.strip():
        return {}
    try:
        value = json.loads(raw, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if b"\\ud" in raw.lower():
        # Raises UnicodeEncodeError, a ValueError, when a surrogate has no partner.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
