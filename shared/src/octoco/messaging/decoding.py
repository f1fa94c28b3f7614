"""Header fields that the client cannot decode, read as text instead.

Where pika fails at a field it gives up the connection, and with it all that was fetched: one such
message would be fetched again and again, together with its neighbours.
"""

import struct
import threading
from collections.abc import Callable
from typing import Any, Final

import pika.data

# What is nested deeper nobody of ours sends; the parser, and whoever writes a copy, go as deep.
DEPTH_MAX: Final = 32
TOO_DEEP: Final = "nested too deep to be read"
# Fields whose value may be none that Python has: how it lies in memory.
_NUMBERS: Final = {b"T": ">Q", b"f": ">f", b"d": ">d"}
_HOLDING_OTHERS: Final = (b"F", b"A")

_as_pika_does: Final[Callable[[bytes, int], tuple[Any, int]]] = pika.data.decode_value
_nesting = threading.local()


def read_whatever_comes() -> None:
    """Let every connection of this process read what it could not; doing it again is harmless."""
    pika.data.decode_value = _decode_value


def _decode_value(encoded: bytes, offset: int) -> tuple[Any, int]:
    kind = encoded[offset : offset + 1]
    if kind in _HOLDING_OTHERS:
        return _decode_others(encoded, offset)
    try:
        return _as_pika_does(encoded, offset)
    except (ValueError, OverflowError, OSError):
        if kind not in _NUMBERS:
            raise
        written = _NUMBERS[kind]
        (value,) = struct.unpack_from(written, encoded, offset + 1)
        return str(value), offset + 1 + struct.calcsize(written)


def _decode_others(encoded: bytes, offset: int) -> tuple[Any, int]:
    depth = getattr(_nesting, "depth", 0)
    if depth >= DEPTH_MAX:
        (length,) = struct.unpack_from(">I", encoded, offset + 1)
        return TOO_DEEP, offset + 5 + length
    _nesting.depth = depth + 1
    try:
        return _as_pika_does(encoded, offset)
    finally:
        _nesting.depth = depth
