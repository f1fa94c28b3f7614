"""Opaque cursors of keyset pagination."""

import base64
import binascii
import re
from typing import Final

from octoco.http.problems import Problem
from wallet.domain.statements import Position

_ID: Final = r"_[0-9A-HJKMNP-TV-Z]{26}"
_PLACE: Final = r"[1-9][0-9]{0,17}"
_POSITION: Final = r"[0-9]{1,18}\.[0-9]{1,18}\.[0-9]{1,18}"


def cursor_of(end: str | None) -> str | None:
    """Return the cursor of the page that goes on where this one ends."""
    if end is None:
        return None
    return base64.urlsafe_b64encode(end.encode()).decode().rstrip("=")


def before_id_of(cursor: str | None) -> str | None:
    """Return the transaction that the page is to go on before.

    Raises:
        Problem: 422 `invalid_cursor`: not one that this service gave out.
    """
    return id_after(cursor, prefix="txn")


def id_after(cursor: str | None, *, prefix: str) -> str | None:
    """Return the id that the page before ended with.

    Args:
        cursor: As the client sent it; None for the first page.
        prefix: Of the ids that are listed.

    Raises:
        Problem: 422 `invalid_cursor`: not one that this service gave out.
    """
    return None if cursor is None else _read(cursor, form=f"{prefix}{_ID}")


def place_after(cursor: str | None) -> int:
    """Return the place that the page before ended with; 0 for the first page.

    Raises:
        Problem: 422 `invalid_cursor`: not one that this service gave out.
    """
    return 0 if cursor is None else int(_read(cursor, form=_PLACE))


def cursor_of_position(after: Position | None) -> str | None:
    """Return the cursor of the page that goes on after this place in a user's history."""
    if after is None:
        return None
    return cursor_of(f"{after.available}.{after.held}.{after.receivable}")


def position_of(cursor: str | None) -> Position | None:
    """Return the place in a user's history that the page is to go on after.

    Raises:
        Problem: 422 `invalid_cursor`: not one that this service gave out.
    """
    if cursor is None:
        return None
    available, held, receivable = _read(cursor, form=_POSITION).split(".")
    return Position(int(available), int(held), int(receivable))


def _read(cursor: str, *, form: str) -> str:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    if not re.fullmatch(form, text):
        raise Problem(
            422,
            "invalid_cursor",
            "This cursor is not one that was given out.",
            members={"field": "cursor"},
        )
    return text
