"""Purchases over the API: their shape, their errors, cancelling and refunding."""

from typing import Any

import pytest
import requests

Document = dict[str, Any]


def codes(answer: requests.Response, *path: str) -> list[str]:
    found = answer.json()
    for name in path:
        found = found[name]
    return [one["code"] for one in found]


def test_a_purchase_is_created_in_the_documented_shape(merchant: Any) -> None:
    created = merchant.purchase(reference="dep_1")
    assert created["type"] == "purchase"
    assert created["status"] == "created"
    assert created["purchase"]["total"] == 25_000
    assert created["purchase"]["products"][0]["quantity"] == "1.0000"
    assert created["payment"] is None
    assert created["transaction_data"]["attempts"] == []
    assert created["status_history"] == [{"status": "created", "timestamp": created["created_on"]}]
    assert created["due"] == created["created_on"] + 3600
    assert created["checkout_url"] == f"{merchant.url}/p/{created['id']}/"
    assert created["reference_generated"].startswith("RV")
    assert created["is_test"] is True
    assert merchant.read(created) == created


def test_creating_twice_makes_two_purchases_even_with_one_reference(merchant: Any) -> None:
    first = merchant.purchase(reference="dep_same")
    second = merchant.purchase(reference="dep_same")
    assert first["id"] != second["id"]


def test_there_is_no_list_of_purchases(merchant: Any) -> None:
    answer = merchant.call("GET", "/purchases/")
    assert answer.status_code == 405
    assert codes(answer, "__all__") == ["method_not_allowed"]


def test_without_a_key_nothing_is_said_about_paths(merchant: Any) -> None:
    for path in ("/purchases/", "/purchases", "/nothing/"):
        assert requests.get(f"{merchant.url}/api/v1{path}", timeout=30).status_code == 401


@pytest.mark.parametrize("header", [None, "Bearer wrong", "key-of-the-tests", "Basic a2V5"])
def test_a_missing_or_wrong_key_is_401(merchant: Any, header: str | None) -> None:
    answer = requests.post(
        f"{merchant.url}/api/v1/purchases/",
        json={},
        headers={"Authorization": header} if header else {},
        timeout=30,
    )
    assert answer.status_code == 401
    assert answer.json() == {
        "__all__": [{"message": "Incorrect secret_key", "code": "authentication_failed"}]
    }


def test_a_missing_slash_is_not_found_and_never_redirected(merchant: Any) -> None:
    answer = merchant.call("POST", "/purchases", {}, allow_redirects=False)
    assert answer.status_code == 404
    assert codes(answer, "__all__") == ["not_found"]


def test_an_unknown_purchase_is_not_found(merchant: Any) -> None:
    answer = merchant.call("GET", "/purchases/3f0c8a52-6b1e-4a4f-9d27-51c2a7e0b914/")
    assert answer.status_code == 404
    assert codes(answer, "__all__") == ["not_found"]


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        ({"client": {"email": "a@b.co"}}, ("brand_id",), "required"),
        ({"brand_id": "x", "client": {"email": "a@b.co"}}, ("brand_id",), "invalid"),
        (
            {
                "brand_id": "99999999-2222-4333-8444-555555555555",
                "client": {"email": "a@b.co"},
            },
            ("brand_id",),
            "does_not_exist",
        ),
        ({}, ("__all__",), "purchase_client_or_id_required"),
        (
            {"client": {"email": "a@b.co"}, "client_id": "x"},
            ("__all__",),
            "purchase_client_or_id_only",
        ),
        ({"client": {}}, ("client", "email"), "required"),
        ({"client": {"email": "nobody"}}, ("client", "email"), "invalid"),
        ({"client": {"email": "a@b.co"}}, ("purchase",), "required"),
        (
            {"client": {"email": "a@b.co"}, "purchase": {"products": []}},
            ("purchase", "products"),
            "empty",
        ),
        (
            {"client": {"email": "a@b.co"}, "purchase": {"currency": "XXX", "products": []}},
            ("purchase", "currency"),
            "invalid_choice",
        ),
    ],
)
def test_wrong_fields_are_400_with_lists_of_codes(
    merchant: Any, body: Document, path: tuple[str, ...], code: str
) -> None:
    answer = merchant.call("POST", "/purchases/", body)
    assert answer.status_code == 400
    assert codes(answer, *path) == [code]


@pytest.mark.parametrize("price", [-1, 12.5, "ten", True, None])
def test_a_price_must_be_an_integer_of_minor_units(merchant: Any, price: object) -> None:
    body = {
        "brand_id": "11111111-2222-4333-8444-555555555555",
        "client": {"email": "a@b.co"},
        "purchase": {"products": [{"name": "Deposit", "price": price}]},
    }
    answer = merchant.call("POST", "/purchases/", body)
    assert answer.status_code == 400
    assert list(answer.json()["purchase"]["products"][0]) == ["price"]


def test_broken_json_is_a_parse_error(merchant: Any) -> None:
    answer = merchant.session.post(
        f"{merchant.url}/api/v1/purchases/", data=b'{"brand_id":', timeout=30
    )
    assert answer.status_code == 400
    assert codes(answer, "__all__") == ["parse_error"]


def test_a_body_of_five_megabytes_is_refused(merchant: Any) -> None:
    answer = merchant.session.post(
        f"{merchant.url}/api/v1/purchases/", data=b"x" * 5_000_000, timeout=30
    )
    assert answer.status_code == 413


def test_totals_round_each_line_half_up(merchant: Any) -> None:
    created = merchant.purchase(
        purchase={
            "products": [
                {"name": "A", "price": 333, "quantity": "1.5", "tax_percent": "15"},
                {"name": "B", "price": 100, "discount": 50},
                {"name": "C", "price": 100, "total_price_override": 1},
            ]
        }
    )
    assert created["purchase"]["total"] == 574 + 50 + 1


def test_a_cancelled_purchase_cannot_be_paid_or_cancelled_again(merchant: Any) -> None:
    created = merchant.purchase()
    cancel = f"/purchases/{created['id']}/cancel/"
    assert merchant.call("POST", cancel).json()["status"] == "cancelled"
    again = merchant.call("POST", cancel)
    assert again.status_code == 400
    assert codes(again, "__all__") == ["purchase_cancel_wrong_status"]
    assert merchant.pay(created).status_code == 303
    assert merchant.read(created)["status"] == "cancelled"


def test_a_strict_due_date_expires_the_purchase(merchant: Any) -> None:
    created = merchant.purchase(due=1_700_000_000)
    assert merchant.read(created)["status"] == "expired"
    merchant.pay(created)
    assert merchant.read(created)["status"] == "expired"


def test_a_lenient_due_date_leaves_the_purchase_payable(merchant: Any) -> None:
    created = merchant.purchase(due=1_700_000_000, purchase={"due_strict": False})
    assert merchant.read(created)["status"] == "overdue"
    merchant.pay(created)
    assert merchant.read(created)["status"] == "paid"


def test_a_refund_answers_with_a_payment_and_can_be_partial(merchant: Any) -> None:
    created = merchant.purchase()
    merchant.pay(created)
    refund = f"/purchases/{created['id']}/refund/"
    payment = merchant.call("POST", refund, {"amount": 5_000}).json()
    assert payment["type"] == "payment"
    assert payment["payment"]["payment_type"] == "refund"
    assert payment["payment"]["amount"] == 5_000
    assert payment["related_to"]["id"] == created["id"]
    assert "brand_id" not in payment
    after = merchant.read(created)
    assert (after["status"], after["refundable_amount"]) == ("refunded", 20_000)
    too_soon = merchant.call("POST", refund, {"amount": 20_001})
    assert codes(too_soon, "amount") == ["purchase_refund_amount_too_large"]


def test_a_purchase_is_refunded_at_most_once_in_sixty_seconds(merchant: Any) -> None:
    created = merchant.purchase()
    merchant.pay(created)
    merchant.control("/clock", {"scale": 1})
    refund = f"/purchases/{created['id']}/refund/"
    assert merchant.call("POST", refund, {"amount": 1_000}).status_code == 200
    answer = merchant.call("POST", refund, {"amount": 1_000})
    assert codes(answer, "__all__") == ["purchase_refund_timeout"]
    merchant.control("/clock", {"advance_seconds": 61})
    assert merchant.call("POST", refund).json()["payment"]["amount"] == 24_000
    merchant.control("/clock", {"advance_seconds": 61})
    answer = merchant.call("POST", refund)
    assert codes(answer, "__all__") == ["purchase_already_fully_refunded"]


def test_an_unpaid_purchase_cannot_be_refunded(merchant: Any) -> None:
    created = merchant.purchase()
    answer = merchant.call("POST", f"/purchases/{created['id']}/refund/")
    assert codes(answer, "__all__") == ["purchase_refund_wrong_status"]


def test_a_slow_refund_answers_with_the_purchase_and_finishes_later(
    merchant: Any, receiver: Any, wait_until: Any
) -> None:
    created = merchant.purchase()
    merchant.pay(created)
    knob = {"operation": "purchase_refund", "outcome": {"result": "pending"}}
    merchant.control("/next", {**knob, "object_id": created["id"]})
    answer = merchant.call("POST", f"/purchases/{created['id']}/refund/").json()
    assert (answer["type"], answer["status"]) == ("purchase", "pending_refund")
    receiver.wait_for(created["id"], "purchase.pending_refund")
    refunded = wait_until(
        lambda: [
            one.json
            for one in receiver.received
            if one.json["event_type"] == "payment.refunded"
            and one.json["related_to"]["id"] == created["id"]
        ],
        what="payment.refunded",
    )
    assert refunded[0]["payment"]["amount"] == 25_000
    assert merchant.read(created)["status"] == "refunded"


def test_a_failed_refund_says_why_in_the_newest_attempt(merchant: Any) -> None:
    created = merchant.purchase()
    merchant.pay(created)
    outcome = {"result": "error", "code": "insufficient_funds"}
    merchant.control(
        "/next",
        {"operation": "purchase_refund", "outcome": outcome, "object_id": created["id"]},
    )
    answer = merchant.call("POST", f"/purchases/{created['id']}/refund/")
    assert codes(answer, "__all__") == ["purchase_refund_error"]
    after = merchant.read(created)
    assert after["status"] == "paid"
    assert after["refundable_amount"] == 25_000
    attempt = after["transaction_data"]["attempts"][0]
    assert (attempt["type"], attempt["error"]["code"]) == ("refund", "insufficient_funds")


def test_the_public_key_is_a_json_string_with_a_pem(merchant: Any) -> None:
    key = merchant.get("/public_key/")
    assert isinstance(key, str)
    assert key.startswith("-----BEGIN PUBLIC KEY-----\n")


def test_methods_need_brand_and_currency(merchant: Any) -> None:
    assert codes(merchant.call("GET", "/payment_methods/"), "brand_id") == ["required"]
    query = "?brand_id=11111111-2222-4333-8444-555555555555&currency=ZAR"
    assert "visa" in merchant.get(f"/payment_methods/{query}")["available_payment_methods"]
    assert merchant.get(f"/payout_methods/{query}")["available_payout_methods"] == ["bank_eft"]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"reference": "\\ud800"}',
        b'{"due": NaN}',
        b"[" * 5000,
        b'{"reference": "\xff"}',
    ],
)
def test_what_could_not_be_written_back_is_a_parse_error(merchant: Any, raw: bytes) -> None:
    answer = merchant.session.post(f"{merchant.url}/api/v1/purchases/", data=raw, timeout=30)
    assert answer.status_code == 400
    assert codes(answer, "__all__") == ["parse_error"]


@pytest.mark.parametrize("due", ["--1", "1e3", "\u0661", 10**30, True])
def test_strange_integers_are_refused(merchant: Any, due: object) -> None:
    body = {"client": {"email": "a@b.co"}, "due": due}
    answer = merchant.call("POST", "/purchases/", body)
    assert answer.status_code == 400
    assert "due" in answer.json()


def test_a_total_beyond_reason_is_refused(merchant: Any) -> None:
    product = {"name": "A", "price": 10**12, "quantity": "1000"}
    body = {
        "brand_id": "11111111-2222-4333-8444-555555555555",
        "client": {"email": "a@b.co"},
        "purchase": {"products": [product]},
    }
    answer = merchant.call("POST", "/purchases/", body)
    assert codes(answer, "purchase", "total") == ["max_value"]
