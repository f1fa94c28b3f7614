"""Revio's wire format: minor units, every status, both error shapes, unset fields."""

from datetime import UTC, datetime
from typing import Any

import pytest

from octoco.ids import new_id
from octoco.money import Money
from payments_gateway.adapters.revio.wire import (
    PAYOUT_STATES,
    PURCHASE_STATES,
    NotUnderstood,
    execution_path,
    payout_body,
    purchase_body,
    read_error,
    read_execution_answer,
    read_payout,
    read_payout_float,
    read_purchase,
)
from payments_gateway.domain.provider import (
    BankDestination,
    PayoutOrder,
    PayoutState,
    PurchaseOrder,
    PurchaseState,
)
from payments_gateway.domain.sensitive import SensitiveText

NOW = datetime(2026, 9, 21, tzinfo=UTC)
# The enum of the platform's document, in its order.
ALL_PURCHASE_STATUSES = [
    "created",
    "sent",
    "viewed",
    "error",
    "cancelled",
    "overdue",
    "expired",
    "blocked",
    "hold",
    "released",
    "pending_release",
    "pending_capture",
    "preauthorized",
    "paid",
    "pending_execute",
    "pending_charge",
    "cleared",
    "settled",
    "chargeback",
    "pending_refund",
    "refunded",
]


def purchase(**changes: Any) -> dict[str, Any]:
    return {
        "id": "3f0c8a52-6b1e-4a4f-9d27-51c2a7e0b914",
        "type": "purchase",
        "status": "created",
        "purchase": {"total": 25000, "currency": "ZAR"},
        "payment": None,
        "transaction_data": {"attempts": []},
        "reference": "txn_1",
        "due": 1790003600,
        "checkout_url": "https://gate.example/p/3f0c8a52/",
        "company_id": "company",
        "brand_id": "brand",
        "is_test": True,
        **changes,
    }


def payout(**changes: Any) -> dict[str, Any]:
    return {
        "id": "9b6f2d10",
        "type": "payout",
        "status": "pending",
        "payment": {"is_outgoing": True, "amount": 18000, "currency": "ZAR", "fee_amount": 500},
        "transaction_data": {"attempts": []},
        "reference": "txn_2",
        "execution_url": "https://gate.example/po/9b6f2d10/bank/",
        "company_id": "company",
        "brand_id": "brand",
        "is_test": True,
        **changes,
    }


def payment(**changes: Any) -> dict[str, Any]:
    return {
        "is_outgoing": False,
        "amount": 25000,
        "currency": "ZAR",
        "fee_amount": 725,
        "paid_on": 1790000240,
        **changes,
    }


def test_every_status_of_the_platform_has_its_meaning() -> None:
    assert set(PURCHASE_STATES) == set(ALL_PURCHASE_STATUSES)
    assert set(PAYOUT_STATES) == {"initialized", "pending", "error", "success"}


@pytest.mark.parametrize("status", ["retrieved", "charged_back", "", "Paid"])
def test_an_unknown_status_is_neither_an_error_nor_money(status: str) -> None:
    reading = read_purchase(purchase(status=status, payment=payment()), read_at=NOW)
    assert reading.state is PurchaseState.UNKNOWN
    assert not reading.state.money_came_in
    assert read_payout(payout(status=status), read_at=NOW).state is PayoutState.UNKNOWN


def test_minor_units_become_money() -> None:
    reading = read_purchase(purchase(status="paid", payment=payment()), read_at=NOW)
    assert reading.asked == reading.paid == Money.parse("250.00", "ZAR")
    assert reading.fee == Money.parse("7.25", "ZAR")
    assert reading.paid_at == datetime.fromtimestamp(1790000240, UTC)


@pytest.mark.parametrize(
    ("currency", "minor", "text", "fee"),
    [("ZAR", 25000, "250.00", "7.25"), ("JPY", 250, "250", "725"), ("KWD", 250, "0.250", "0.725")],
)
def test_minor_units_follow_the_currency(currency: str, minor: int, text: str, fee: str) -> None:
    money = Money.parse(text, currency)
    paid = payment(amount=minor, currency=currency)
    asked = {"total": minor, "currency": currency}
    found = read_purchase(purchase(purchase=asked, payment=paid), read_at=NOW)
    assert (found.asked, found.paid, found.fee) == (money, money, Money.parse(fee, currency))
    sent = read_payout(payout(payment={**paid, "is_outgoing": True}), read_at=NOW)
    assert (sent.amount, sent.fee) == (money, Money.parse(fee, currency))
    order = PurchaseOrder(new_id("txn"), money, "a@b.example", "A B", NOW)
    written = purchase_body(order, brand_id="brand", return_url="https://wallet.example/")
    assert written["purchase"]["products"][0]["price"] == minor
    assert written["purchase"]["currency"] == currency
    destination = BankDestination("A B", "Bank", "1", SensitiveText("62000900001"), "current")
    out = PayoutOrder(new_id("txn"), money, "a@b.example", "A B", destination)
    assert payout_body(out, brand_id="brand")["payment"]["amount"] == minor
    assert read_payout_float({currency: {"available_balance": minor}}, currency) == money


def test_one_payment_is_bounded_and_a_float_of_many_is_not() -> None:
    many = {"ZAR": {"available_balance": 10**15}}
    assert read_payout_float(many, "ZAR").amount_text == "10000000000000.00"
    with pytest.raises(NotUnderstood):
        read_purchase(purchase(purchase={"total": 10**15, "currency": "ZAR"}), read_at=NOW)


def test_money_that_went_out_is_not_what_came_in() -> None:
    shown = purchase(status="refunded", payment=payment(is_outgoing=True))
    assert read_purchase(shown, read_at=NOW).paid is None


@pytest.mark.parametrize(
    "unset",
    [
        {"payment": ""},
        {"payment": {}},
        {"transaction_data": None},
        {"transaction_data": {"attempts": None}},
        {"reference": None},
        {"due": ""},
        {"due": None},
        {"brand_id": ""},
        {"checkout_url": None},
        {"something_new": {"deep": [1]}},
    ],
)
def test_unset_and_new_fields_are_no_trouble(unset: dict[str, Any]) -> None:
    assert read_purchase(purchase(**unset), read_at=NOW).state is PurchaseState.PAYABLE


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        "text",
        {},
        purchase(id=None),
        purchase(purchase=None),
        purchase(purchase={"total": 250.0, "currency": "ZAR"}),
        purchase(purchase={"total": True, "currency": "ZAR"}),
        purchase(purchase={"total": 25000, "currency": "ZZZ"}),
        purchase(is_test=None),
        purchase(company_id=""),
        purchase(status="paid", payment=payment(amount="250.00")),
    ],
)
def test_what_is_no_purchase_is_said_to_be_none(broken: Any) -> None:
    with pytest.raises(NotUnderstood):
        read_purchase(broken, read_at=NOW)


def test_attempts_are_read_newest_first_without_refunds() -> None:
    attempts = [
        {"type": "refund", "successful": False, "error": {"code": "timeout"}},
        {"type": "execute", "successful": False, "error": {"code": "second"}},
        {"type": "execute", "successful": False, "error": {"code": "first"}},
        {"type": "execute", "successful": False, "error": None},
    ]
    reading = read_purchase(purchase(transaction_data={"attempts": attempts}), read_at=NOW)
    codes = [attempt.error_code for attempt in reading.failed_attempts_oldest_first]
    assert codes == [None, "first", "second"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"__all__": [{"message": "m", "code": "wrong"}]}, "wrong"),
        ({"__all__": {"message": "m", "code": "wrong"}}, "wrong"),
        ({"client": {"email": [{"message": "m", "code": "required"}]}}, "required"),
        ({"x": [{"code": "field"}], "__all__": [{"code": "whole"}]}, "whole"),
        ({}, "unknown"),
        ("text", "unknown"),
        (None, "unknown"),
        ({"a": {"code": 5}}, "unknown"),
    ],
)
def test_errors_of_every_shape_give_their_code(body: Any, code: str) -> None:
    assert read_error(body).code == code


def test_a_purchase_is_written_in_minor_units_with_its_end() -> None:
    order = PurchaseOrder(new_id("txn"), Money.parse("250.00", "ZAR"), "a@b.example", "A B", NOW)
    body = purchase_body(order, brand_id="brand", return_url="https://wallet.example/")
    assert body["purchase"]["products"] == [
        {"name": "Wallet deposit", "price": 25000, "quantity": "1"}
    ]
    assert body["purchase"]["due_strict"] is True
    assert body["due"] == int(NOW.timestamp())
    assert body["reference"] == order.reference


@pytest.mark.parametrize(
    ("body", "said", "code"),
    [
        ({"status": "pending", "details": {}}, PayoutState.PENDING, None),
        ({"status": "success"}, PayoutState.SUCCEEDED, None),
        ({"status": "error", "error": {"code": "x", "message": "m"}}, PayoutState.ERROR, "x"),
        ({"status": "odd"}, PayoutState.UNKNOWN, None),
        (None, PayoutState.UNKNOWN, "not_understood"),
    ],
)
def test_the_answer_to_an_execution_is_read_as_a_hint(
    body: Any, said: PayoutState, code: str | None
) -> None:
    answer = read_execution_answer(body)
    assert (answer.said, answer.error_code) == (said, code)


def test_the_own_payout_balance_goes_before_the_general_one() -> None:
    both = {"ZAR": {"available_balance": 900, "available_payout_balance": 500}}
    assert read_payout_float(both, "ZAR") == Money.parse("5.00", "ZAR")
    assert read_payout_float({"ZAR": {"available_balance": 900}}, "ZAR") == Money.parse("9", "ZAR")
    assert read_payout_float({}, "ZAR").is_zero


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://gate.example/po/9b6f2d10/bank/", "/po/9b6f2d10/bank/"),
        ("https://elsewhere.example/po/9b6f2d10/bank/", "/po/9b6f2d10/bank/"),
        ("https://gate.example/po/another/bank/", None),
        ("https://gate.example/po/9b6f2d10/../x/", None),
        ("", None),
    ],
)
def test_an_execution_address_counts_for_its_own_payouts_path(url: str, path: str | None) -> None:
    assert execution_path(SensitiveText(url), payout_id="9b6f2d10") == path


def test_an_execution_address_never_shows_itself() -> None:
    reading = read_payout(payout(), read_at=NOW)
    assert "po/9b6f2d10" not in repr(reading)


@pytest.mark.parametrize(
    ("status", "left", "went_back"),
    [
        ("refunded", 15000, "ZAR 100.00"),
        ("chargeback", 0, "ZAR 250.00"),
        ("pending_refund", 25000, "ZAR 0.00"),
        ("refunded", None, "None"),
        ("paid", 25000, "None"),
    ],
)
def test_a_purchase_shows_how_much_of_it_went_back(
    status: str, left: int | None, went_back: str
) -> None:
    shown = purchase(status=status, payment=payment(amount=25000), refundable_amount=left)
    assert str(read_purchase(shown, read_at=NOW).went_back) == went_back
