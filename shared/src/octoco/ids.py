"""Identifiers with a prefix that says what they name and an order that follows time."""

import os
import time
from datetime import UTC, datetime, timedelta

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BYTES = 10
# Two characters for each ten bits: an id is made for every row and message there is.
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_PAIR_SHIFTS = range(120, -1, -10)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def new_id(prefix: str) -> str:
    """Make a new identifier such as `txn_01JDXQ0V8T4C2N6B7W9K3M5R1S`.

    Two ids made in different milliseconds sort by time as text; 80 random bits keep ids of one
    millisecond apart.

    Args:
        prefix: What the id names: `usr`, `txn`, `msg`. Lower-case letters.

    Returns:
        The prefix, an underscore and 26 characters of Crockford's base 32.

    Source: the ULID layout, 48 bits of Unix milliseconds before 80 random bits.
    """
    milliseconds = time.time_ns() // 1_000_000
    number = (milliseconds << (8 * _RANDOM_BYTES)) | int.from_bytes(os.urandom(_RANDOM_BYTES))
    return prefix + "_" + "".join([_PAIRS[number >> shift & 1023] for shift in _PAIR_SHIFTS])


def first_id(prefix: str, *, at: datetime) -> str:
    """Return the id below which all ids are that were made before a moment.

    Args:
        prefix: What the ids name.
        at: The moment, timezone-aware; counted in whole milliseconds.
    """
    number = (at - _EPOCH) // _MILLISECOND << (8 * _RANDOM_BYTES)
    return prefix + "_" + "".join([_PAIRS[number >> shift & 1023] for shift in _PAIR_SHIFTS])
