"""Why notifications turns a request down.

Refusal
└── InvalidCursor    the page marker is not one that was handed out
"""

from octoco.errors import Refusal


class InvalidCursor(Refusal):
    """The page marker is not one that was handed out."""

    code = "invalid_cursor"
