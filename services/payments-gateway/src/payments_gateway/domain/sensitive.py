"""Text that must not be seen by accident: account numbers, addresses that work like keys."""

from typing import Final


class SensitiveText:
    """Text that shows itself only to who asks by name; logs and tracebacks see stars.

    Args:
        text: The text to keep.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text: Final = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "SensitiveText(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SensitiveText) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)
