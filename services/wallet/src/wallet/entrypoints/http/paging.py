"""Opaque cursors of keyset pagination."""

import base64
import binascii
import re
from typing import Final

from octoco.http.problems import Problem

_TRANSACTION_ID: Final = re.compile(r"txn_[0-9A-HJKMNP-TV-Z]{26}")


def cursor_of(before_id: str | None) -> str | None:
    """Return the cursor of the page that goes on before this transaction."""
    if before_id is None:
        return None
    return base64.urlsafe_b64encode(before_id.encode()).decode().rstrip("=")


def before_id_of(cursor: str | None) -> str | None:
    """Return the transaction that the page is to go on before.

    Raises:
        Problem: 422 `invalid_cursor`: not one that this service gave out.
    """
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    if not _TRANSACTION_ID.fullmatch(text):
        raise Problem(
            422,
            "invalid_cursor",
            "This cursor is not one that was given out.",
            members={"field": "cursor"},
        )
    return text
