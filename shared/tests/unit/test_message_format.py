"""An event on the wire is what the CloudEvents library makes of it, and comes back the same."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pika
import pika.frame
import pytest
from cloudevents.core.bindings.amqp import to_binary_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from octoco.events import Event
from octoco.messaging.wire import (
    BODY_BYTES_MAX,
    ID_BYTES_MAX,
    MalformedMessage,
    from_properties,
    to_properties,
)

words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
traceparents = st.none() | st.just("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
events = st.builds(
    Event,
    id=words,
    type=words,
    source=words,
    aggregate_id=words,
    occurred_at=st.datetimes(
        min_value=datetime(1971, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        max_value=datetime(2200, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
    data=st.dictionaries(words, json_values, max_size=5),
    correlation_id=words,
    causation_id=st.none() | words,
    traceparent=traceparents,
)


def of_the_library(event: Event) -> Any:
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "type": event.type,
        "source": f"/{event.source}",
        "subject": event.aggregate_id,
        "time": event.occurred_at,
        "datacontenttype": "application/json",
        "correlationid": event.correlation_id,
    }
    if event.causation_id is not None:
        attributes["causationid"] = event.causation_id
    if event.traceparent is not None:
        attributes["traceparent"] = event.traceparent
    return to_binary_event(CloudEvent(attributes, dict(event.data)))


@given(event=events)
def test_headers_and_content_type_are_those_that_the_library_writes(event: Event) -> None:
    properties, _ = to_properties(event)
    expected = of_the_library(event)
    assert properties.headers == expected.application_properties
    assert {"content-type": properties.content_type} == expected.properties


@given(event=events)
def test_an_event_comes_back_as_it_was_to_the_millisecond(event: Event) -> None:
    properties, body = to_properties(event)
    read = from_properties(properties, body)
    assert abs((read.occurred_at - event.occurred_at).total_seconds()) <= 0.001
    for name in ("id", "type", "source", "aggregate_id", "data", "correlation_id", "causation_id"):
        assert getattr(read, name) == getattr(event, name)
    assert read.traceparent == event.traceparent


def test_a_message_is_persistent_and_names_itself() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    event = Event("msg_1", "probe.thing.happened.v1", "probe", "one", at, {"n": 1}, "cor_1")
    properties, body = to_properties(event)
    assert properties.delivery_mode == 2
    assert (properties.message_id, properties.correlation_id) == ("msg_1", "cor_1")
    assert (properties.type, body) == ("probe.thing.happened.v1", b'{"n":1}')


def longest(**changes: Any) -> Event:
    longest_id = "q" * ID_BYTES_MAX
    event = Event(
        longest_id,
        longest_id,
        longest_id[1:],
        longest_id,
        datetime(2026, 1, 1, tzinfo=UTC),
        {},
        longest_id,
        longest_id,
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    return replace(event, **changes)


def test_the_longest_ids_fit_the_smallest_frame_that_a_broker_may_agree_to() -> None:
    properties, body = to_properties(longest())
    assert len(pika.frame.Header(1, len(body), properties).marshal()) < pika.spec.FRAME_MIN_SIZE
    assert from_properties(properties, body) == longest()


@pytest.mark.parametrize("name", ["id", "aggregate_id", "correlation_id", "causation_id"])
def test_a_longer_id_is_neither_sent_nor_passed_on(name: str) -> None:
    too_long = "\xe9" * (ID_BYTES_MAX // 2 + 1)
    with pytest.raises(MalformedMessage, match=f"^{name} is longer than 255 bytes$"):
        to_properties(longest(**{name: too_long}))
    properties, body = to_properties(longest(**{name: "to be replaced"}))
    sent = {
        key: too_long if value == "to be replaced" else value
        for key, value in (properties.headers or {}).items()
    }
    received = pika.BasicProperties(content_type="application/json", headers=sent)
    with pytest.raises(MalformedMessage, match=f"^{name} is longer than 255 bytes$"):
        from_properties(received, body)


def test_a_body_over_which_a_broker_closes_the_channel_is_not_sent() -> None:
    with pytest.raises(MalformedMessage, match="the body is longer than"):
        to_properties(replace(longest(), data={"text": "q" * BODY_BYTES_MAX}))
