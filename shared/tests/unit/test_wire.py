"""An event survives the wire; anything else is refused as malformed."""

from datetime import UTC, datetime

import pika
import pytest

from octoco.events import Event
from octoco.ids import new_id
from octoco.messaging.contracts import Contracts, ContractViolation
from octoco.messaging.wire import MalformedMessage, from_properties, to_properties

EVENT = Event(
    id="msg_1",
    type="wallet.deposit.cancel_requested.v1",
    source="wallet",
    aggregate_id="txn_1",
    occurred_at=datetime(2026, 11, 22, 12, 0, 0, 123000, tzinfo=UTC),
    data={"transaction_id": "txn_1", "nested": [1, {"ä": None}]},
    correlation_id="cor_1",
    causation_id="msg_0",
    traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
)

PAID = {
    "fact_key": "purchase:p1",
    "purchase_id": "p1",
    "transaction_id": None,
    "amount": "12.00",
    "currency": "ZAR",
    "fee_amount": None,
    "paid_at": "2026-11-22T12:00:00.5Z",
}


def test_an_event_comes_back_as_it_was_sent() -> None:
    assert from_properties(*to_properties(EVENT)) == EVENT


def test_a_message_is_persistent_and_carries_the_events_id() -> None:
    properties, _ = to_properties(EVENT)
    assert properties.delivery_mode == 2
    assert properties.message_id == "msg_1"
    assert properties.headers["cloudEvents_specversion"] == "1.0"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b"{}"),
        (None, b""),
        ({"cloudEvents_id": "1"}, b"{}"),
        (to_properties(EVENT)[0].headers, b"[1]"),
        (to_properties(EVENT)[0].headers, b"not json"),
        (to_properties(EVENT)[0].headers, b"\xff"),
    ],
)
def test_what_is_no_event_is_malformed(headers: dict[str, object] | None, body: bytes) -> None:
    with pytest.raises(MalformedMessage):
        from_properties(
            pika.BasicProperties(content_type="application/json", headers=headers), body
        )


def test_contracts_refuse_a_wrong_body_without_repeating_its_values() -> None:
    contracts = Contracts()
    body = {"transaction_id": new_id("txn"), "user_id": "sensitive-value"}
    with pytest.raises(ContractViolation) as refused:
        contracts.check("wallet.deposit.cancel_requested.v1", body)
    assert "user_id" in str(refused.value)
    assert "sensitive-value" not in str(refused.value)


def test_contracts_let_newer_fields_pass_and_unknown_types_not() -> None:
    contracts = Contracts()
    body = {"transaction_id": new_id("txn"), "user_id": new_id("usr"), "newer": 1}
    contracts.check("wallet.deposit.cancel_requested.v1", body)
    with pytest.raises(ContractViolation):
        contracts.check("wallet.nothing.v1", body)


@pytest.mark.parametrize(
    ("changes", "place", "rule"),
    [
        ({"amount": "12,00"}, "amount", "pattern"),
        ({"amount": "12.00\n"}, "amount", "pattern"),
        ({"amount": 12}, "amount", "type"),
        ({"paid_at": "2026-13-22T12:00:00Z"}, "paid_at", "format"),
        ({"paid_at": "2026-11-22 12:00Z"}, "paid_at", "format"),
        ({"purchase_id": ""}, "purchase_id", "minLength"),
    ],
)
def test_a_violation_names_the_place_and_the_rule(
    changes: dict[str, object], place: str, rule: str
) -> None:
    with pytest.raises(ContractViolation) as refused:
        Contracts().check("payments.deposit.paid.v1", PAID | changes)
    assert str(refused.value) == f"payments.deposit.paid.v1: {place} breaks the rule {rule!r}"


def test_half_a_surrogate_pair_breaks_a_contract_and_no_thread() -> None:
    with pytest.raises(ContractViolation, match="no Unicode") as refused:
        Contracts().check("payments.deposit.paid.v1", PAID | {"fact_key": "purchase:\ud800"})
    assert refused.value.__cause__ is None
