"""What a message carries of its failures, and what of it is read back."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pika
import pika.frame
import pytest

from octoco.events import Event
from octoco.inbox.parked import ParkedEvent
from octoco.messaging.deliveries import Delivery, Verdict
from octoco.messaging.failures import (
    HEADERS_BYTES_MAX,
    copy_properties,
    history_of,
    parked_at_of,
    parked_delivery,
)
from octoco.messaging.wire import from_properties, to_properties

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EVENT = Event("msg_1", "probe.thing.happened.v1", "probe", "one", NOON, {"n": 1}, "cor_1")


def delivered(headers: dict[str, Any]) -> Delivery:
    properties, body = to_properties(EVENT)
    properties.headers = dict(properties.headers or {}) | headers
    return Delivery(1, properties, body)


def fail(delivery: Delivery, reason: str, at: datetime, stack: str = "") -> Delivery:
    properties = copy_properties(delivery, Verdict("retried", "tier", reason, stack), now=at)
    return Delivery(1, properties, delivery.body)


def test_a_copy_says_which_try_failed_why_when_and_what_went_before() -> None:
    first = fail(delivered({}), "KeyError: a", NOON, "the first stack")
    second = fail(first, "ValueError: b", NOON + timedelta(minutes=1), "the second stack")
    headers = second.properties.headers
    assert headers["x-octoco-attempt"] == 2
    assert headers["x-octoco-reason"] == "ValueError: b"
    assert headers["x-octoco-stack"] == "the second stack"
    assert headers["x-octoco-failed-at"] == "2026-11-22T12:01:00+00:00"
    assert headers["x-octoco-first-failed-at"] == "2026-11-22T12:00:00+00:00"
    assert history_of(headers) == [
        {"at": "2026-11-22T12:00:00+00:00", "attempt": 1, "reason": "KeyError: a"},
        {"at": "2026-11-22T12:01:00+00:00", "attempt": 2, "reason": "ValueError: b"},
    ]
    assert second.attempt == 3


def test_a_copy_is_still_the_event_it_was_and_outlives_the_broker() -> None:
    copy = fail(delivered({"x-octoco-replayed": 2, "tenant": "blue"}), "r", NOON)
    assert from_properties(copy.properties, copy.body) == EVENT
    assert copy.properties.delivery_mode == 2
    assert copy.properties.message_id == "msg_1"
    assert (copy.properties.headers["x-octoco-replayed"], copy.properties.headers["tenant"]) == (
        2,
        "blue",
    )


def test_a_try_without_a_stack_shows_none_of_an_earlier_one() -> None:
    first = fail(delivered({}), "KeyError: a", NOON, "the first stack")
    assert "x-octoco-stack" not in fail(first, "Unavailable: b", NOON).properties.headers


def test_what_the_broker_wrote_of_a_message_is_not_written_of_its_copy() -> None:
    of_broker = {
        "x-death": [{"queue": "old"}],
        "x-first-death-queue": "old",
        "x-last-death-reason": "expired",
        "x-delivery-count": 7,
        "x-acquired-count": 8,
    }
    assert of_broker.keys().isdisjoint(fail(delivered(of_broker), "r", NOON).properties.headers)


def test_only_the_last_ten_failures_are_kept_and_reasons_are_bounded() -> None:
    delivery = delivered({})
    for _ in range(12):
        delivery = fail(delivery, "x" * 5000, NOON)
    attempts = [entry["attempt"] for entry in history_of(delivery.properties.headers)]
    assert attempts == list(range(3, 13))
    assert len(delivery.properties.headers["x-octoco-history"]) < 10_000


@pytest.mark.parametrize(
    "history", ["[", "[" * 60_000, "{}", "null", "7", '["x", 1]', 5, None, ["x"], b"[]"]
)
def test_a_history_that_makes_no_sense_counts_as_none(history: object) -> None:
    assert history_of({"x-octoco-history": history}) == []
    assert (
        len(
            history_of(fail(delivered({"x-octoco-history": history}), "r", NOON).properties.headers)
        )
        == 1
    )


@pytest.mark.parametrize(
    "odd",
    [
        {"junk": "j" * 129_000},
        {"x-octoco-attempt": 2**63 - 1},
        {"x-octoco-history": '["\\ud800"]', "number": 2**70},
        {b"\xff\xfe": "a name that is no text", "deep": {b"\xff": 1}},
        {"cloudEvents_note": "n" * 129_000},
    ],
    ids=["large", "huge attempt", "huge number", "no text", "large attribute"],
)
def test_whatever_a_message_carries_its_copy_can_be_sent_and_is_still_the_event(
    odd: dict[Any, Any],
) -> None:
    # The reason is what an error says of what it could not read, half a character included.
    copy = fail(delivered(odd), "ValueError: \udcff", NOON, "a stack")
    assert len(pika.frame.Header(1, 1, copy.properties).marshal()) <= HEADERS_BYTES_MAX
    assert from_properties(copy.properties, copy.body) == EVENT
    assert copy.attempt > 1
    assert copy.properties.headers["x-octoco-reason"] == "ValueError: \\udcff"
    assert copy.properties.headers["x-octoco-failed-at"] == "2026-11-22T12:00:00+00:00"
    assert fail(copy, "again", NOON).attempt == copy.attempt + (copy.attempt < 1_000_000)


def test_a_parked_event_leaves_with_the_headers_it_came_with_and_since_when_it_was_parked() -> None:
    came = delivered({"x-octoco-attempt": 1, "x-octoco-first-failed-at": "then", "tenant": "blue"})
    stored = json.loads(json.dumps(came.properties.headers))
    left = parked_delivery(ParkedEvent(EVENT, stored, NOON))
    assert from_properties(left.properties, left.body) == EVENT
    assert left.attempt == 2
    assert left.properties.headers["tenant"] == "blue"
    assert parked_at_of(left.properties.headers) == NOON


@pytest.mark.parametrize("value", ["yesterday", "2026-11-22T12:00:00", 5, None])
def test_a_time_of_parking_that_is_no_instant_counts_as_none(value: object) -> None:
    assert parked_at_of({"x-octoco-parked-at": value}) is None


def test_a_delivery_without_an_id_is_known_by_its_body() -> None:
    nameless = [Delivery(1, pika.BasicProperties(), body) for body in (b"a", b"a", b"b")]
    assert nameless[0].key == nameless[1].key != nameless[2].key
