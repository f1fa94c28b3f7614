"""What operators' commands print: aligned tables, ages, JSON, and nothing a terminal obeys."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
NOTHING: Final = "-"


def table(
    headers: Sequence[str], rows: Sequence[Sequence[object]], *, right: Collection[str] = ()
) -> str:
    """Return rows under their headers in columns that are as wide as what stands in them.

    Args:
        headers: One for each column.
        rows: Each as long as `headers`; None is shown as a dash.
        right: Headers of the columns that are aligned to the right, as numbers are.

    Returns:
        Lines without a newline at the end, and without blanks at the end of any line.
    """
    cells = [list(headers), *([plain(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        placed = [
            cell.rjust(width) if header in right else cell.ljust(width)
            for header, cell, width in zip(headers, row, widths, strict=True)
        ]
        lines.append("  ".join(placed).rstrip())
    return "\n".join(lines)


def plain(value: object) -> str:
    """Return a value as one line of text in which a terminal finds nothing to obey.

    What came by the broker may hold anything, escape sequences included.
    """
    if value is None or value == "":
        return NOTHING
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    return "".join(char if char.isprintable() else _spelled(char) for char in str(value))


def plain_lines(text: str) -> str:
    """Return text of several lines, each of them as by `plain`, an empty one left empty."""
    return "\n".join(plain(line) if line else "" for line in text.split("\n"))


def age(seconds: float | None) -> str:
    """Return how long ago something was, in two units at most: `42 s`, `3 min`, `2 d 5 h`."""
    if seconds is None:
        return NOTHING
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def as_json(value: object) -> str:
    """Return JSON for a program to read, instants in RFC 3339."""
    return json.dumps(value, indent=2, default=_json_of)


def _json_of(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no JSON")


def _spelled(char: str) -> str:
    return char.encode("unicode_escape").decode()


def explained(text: str, *examples: str) -> str:
    """Return the help of a command: what it does, and examples that keep their lines."""
    if not examples:
        return text
    # click leaves a paragraph that begins with a backspace as it is.
    return "\n".join([f"{text}\n\n\b", "Examples:", *(f"  {example}" for example in examples)])
