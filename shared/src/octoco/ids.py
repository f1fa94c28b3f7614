"""Identifiers with a prefix that says what they name and an order that follows time."""

import os
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BYTES = 10
_LENGTH = 26


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
    characters = []
    for _ in range(_LENGTH):
        number, index = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[index])
    return f"{prefix}_{''.join(reversed(characters))}"
