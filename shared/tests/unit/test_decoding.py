"""Header fields that the client cannot decode cost nobody the connection."""

import struct
from datetime import UTC, datetime
from typing import Any

import pika
import pika.data
import pytest

from octoco.messaging.decoding import DEPTH_MAX, TOO_DEEP, read_whatever_comes


@pytest.fixture(autouse=True)
def reading_whatever_comes() -> None:
    read_whatever_comes()


def table(*fields: tuple[bytes, bytes]) -> bytes:
    written = b"".join(struct.pack("B", len(name)) + name + value for name, value in fields)
    return struct.pack(">I", len(written)) + written


def read(*fields: tuple[bytes, bytes]) -> Any:
    return pika.data.decode_table(table(*fields), 0)[0]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (b"T" + struct.pack(">Q", 2**62), str(2**62)),
        (b"d" + struct.pack(">d", float("nan")), "nan"),
        (b"f" + struct.pack(">f", float("-inf")), "-inf"),
    ],
    ids=["an instant beyond all years", "no number", "an endless number"],
)
def test_what_python_has_no_value_for_is_text_and_what_follows_it_is_read(
    field: bytes, text: str
) -> None:
    assert read((b"odd", field), (b"next", b"t\x01")) == {"odd": text, "next": True}


@pytest.mark.parametrize("levels", [DEPTH_MAX + 1, 5000])
@pytest.mark.parametrize("kind", [b"F", b"A"])
def test_what_is_nested_too_deep_is_passed_over_and_what_follows_it_is_read(
    kind: bytes, levels: int
) -> None:
    field = b"V"
    for _ in range(levels):
        inside = b"\x01a" + field if kind == b"F" else field
        field = kind + struct.pack(">I", len(inside)) + inside
    found = read((b"odd", field), (b"next", b"t\x01"))
    assert found["next"] is True
    value = found["odd"]
    while value != TOO_DEEP:
        value = value["a"] if kind == b"F" else value[0]


def test_what_could_be_read_before_is_read_as_before() -> None:
    headers = {
        "text": "ä",
        "number": -5,
        "at": datetime(2026, 11, 22, 12, tzinfo=UTC),
        "list": [1, {"deep": None}],
        "bytes": b"\xff",
    }
    written = b"".join(pika.BasicProperties(headers=headers).encode())
    assert pika.BasicProperties().decode(written).headers == headers
