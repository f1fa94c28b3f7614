"""The checkout page as a payer without JavaScript meets it."""

import re
from typing import Any

import pytest
import requests


def page(url: str) -> requests.Response:
    return requests.get(url, allow_redirects=False, timeout=30)


def alert_code(html: str) -> str | None:
    found = re.search(r'role="alert" data-error-code="([^"]*)"', html)
    return found[1] if found else None


def test_the_page_shows_amount_merchant_cards_and_a_form(merchant: Any) -> None:
    created = merchant.purchase()
    shown = page(created["checkout_url"])
    assert shown.status_code == 200
    assert "R\u00a0250.00" in shown.text
    assert "Octoco Wallet" in shown.text
    assert "4444 3333 2222 1111" in shown.text
    for name in ("card_number", "cardholder_name", "expires", "cvc"):
        assert f'<label for="{name}">' in shown.text
        assert f'id="{name}" name="{name}"' in shown.text
    assert '<meta name="viewport"' in shown.text
    assert "<script" not in shown.text
    assert alert_code(shown.text) is None


def test_opening_the_page_is_a_view_once(merchant: Any, receiver: Any) -> None:
    created = merchant.purchase()
    page(created["checkout_url"])
    page(created["checkout_url"])
    viewed = merchant.read(created)
    assert viewed["status"] == "viewed"
    assert viewed["viewed_on"] is not None
    merchant.pay(created)
    receiver.wait_for(created["id"], "purchase.paid")
    assert receiver.events(created["id"]) == [
        "purchase.created",
        "purchase.viewed",
        "purchase.paid",
    ]


def test_a_wrong_security_code_fails_visibly_and_the_right_one_pays(
    merchant: Any, receiver: Any
) -> None:
    created = merchant.purchase()
    failed = merchant.pay(created, cvc="321")
    assert failed.status_code == 303
    assert failed.headers["Location"] == f"/p/{created['id']}/"
    after = merchant.read(created)
    assert after["status"] == "error"
    attempt = after["transaction_data"]["attempts"][0]
    assert attempt["successful"] is False
    assert attempt["error"]["code"] == "validation_cvc_invalid"
    assert after["payment"] is None
    shown = page(created["checkout_url"]).text
    assert alert_code(shown) == "validation_cvc_invalid"
    assert 'id="pay"' in shown

    paid = merchant.pay(created)
    assert paid.headers["Location"] == "https://wallet.example/ok"
    after = merchant.read(created)
    assert after["status"] == "paid"
    attempts = after["transaction_data"]["attempts"]
    assert [one["successful"] for one in attempts] == [True, False]
    assert after["payment"]["amount"] == 25_000
    assert after["payment"]["fee_amount"] == 725
    assert after["payment"]["net_amount"] == 24_275
    assert after["refundable_amount"] == 25_000
    assert after["transaction_data"]["extra"]["masked_pan"] == "444433******1111"
    assert after["checkout_url"].endswith("/invoice/")
    receiver.wait_for(created["id"], "purchase.paid")
    assert "purchase.payment_failure" in receiver.events(created["id"])


def test_paying_twice_pays_once(merchant: Any, receiver: Any) -> None:
    created = merchant.purchase()
    merchant.pay(created)
    again = merchant.pay(created)
    assert again.status_code == 303
    after = merchant.read(created)
    assert len(after["transaction_data"]["attempts"]) == 1
    receiver.wait_for(created["id"], "purchase.paid")
    assert receiver.events(created["id"]).count("purchase.paid") == 1


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ({"card_number": "4111111111111111"}, "invalid_card_number"),
        ({"expires": "01/20"}, "expired_card"),
        ({"cvc": "999"}, "validation_cvc_invalid"),
    ],
)
def test_cards_that_are_turned_down(merchant: Any, card: dict[str, str], code: str) -> None:
    created = merchant.purchase()
    merchant.pay(created, **card)
    attempt = merchant.read(created)["transaction_data"]["attempts"][0]
    assert attempt["error"]["code"] == code


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("card_number", "44"),
        ("card_number", "<script>"),
        ("cardholder_name", " "),
        ("expires", "13/30"),
        ("cvc", "12"),
    ],
)
def test_a_malformed_field_is_marked_and_is_no_attempt(
    merchant: Any, name: str, value: str
) -> None:
    created = merchant.purchase()
    answer = merchant.pay(created, **{name: value})
    assert answer.status_code == 422
    assert alert_code(answer.text) == "form_invalid"
    assert f'id="{name}_error"' in answer.text
    assert "<script>" not in answer.text
    assert 'value="123"' not in answer.text
    assert merchant.read(created)["transaction_data"]["attempts"] == []


def test_a_card_with_3d_secure_asks_the_bank_first(merchant: Any) -> None:
    created = merchant.purchase()
    asked = merchant.pay(created, card_number="5555555555554444")
    bank = merchant.url + asked.headers["Location"]
    assert bank.endswith("/3ds/")
    assert "ending in 4444" in page(bank).text
    requests.post(bank, data={"decision": "decline"}, allow_redirects=False, timeout=30)
    attempt = merchant.read(created)["transaction_data"]["attempts"][0]
    assert attempt["error"]["code"] == "3ds_authentication_failed"

    merchant.pay(created, card_number="5555555555554444")
    done = requests.post(bank, data={"decision": "approve"}, allow_redirects=False, timeout=30)
    assert done.headers["Location"] == "https://wallet.example/ok"
    assert merchant.read(created)["transaction_data"]["payment_method"] == "mastercard"


def test_an_attempt_begun_before_the_due_date_pays_an_expired_purchase(merchant: Any) -> None:
    now = merchant.look("/state")["now"]
    created = merchant.purchase(due=int(now) + 1000)
    merchant.pay(created, card_number="5555555555554444")
    merchant.control("/clock", {"advance_seconds": 2000})
    assert merchant.read(created)["status"] == "expired"
    bank = f"{merchant.url}/p/{created['id']}/3ds/"
    requests.post(bank, data={"decision": "approve"}, allow_redirects=False, timeout=30)
    after = merchant.read(created)
    assert [one["status"] for one in after["status_history"]][-2:] == ["expired", "paid"]


def test_a_cancelled_purchase_is_not_paid_by_an_open_attempt(merchant: Any) -> None:
    created = merchant.purchase()
    merchant.pay(created, card_number="5555555555554444")
    merchant.call("POST", f"/purchases/{created['id']}/cancel/")
    bank = f"{merchant.url}/p/{created['id']}/3ds/"
    requests.post(bank, data={"decision": "approve"}, allow_redirects=False, timeout=30)
    assert merchant.read(created)["status"] == "cancelled"


def test_following_the_cancel_link_does_not_cancel(merchant: Any) -> None:
    created = merchant.purchase()
    shown = page(created["checkout_url"]).text
    assert 'id="cancel" href="https://wallet.example/left"' in shown
    assert merchant.read(created)["status"] == "viewed"


def test_without_a_redirect_the_payer_sees_the_receipt(merchant: Any) -> None:
    created = merchant.purchase(success_redirect="")
    paid = merchant.pay(created)
    assert paid.headers["Location"] == f"/p/{created['id']}/invoice/"
    receipt = page(merchant.url + paid.headers["Location"])
    assert "Paid" in receipt.text
    assert page(created["checkout_url"]).headers["Location"].endswith("/invoice/")


def test_a_failed_single_attempt_cancels(merchant: Any, receiver: Any) -> None:
    created = merchant.purchase(purchase={"single_attempt": True})
    failed = merchant.pay(created, cvc="321")
    assert failed.headers["Location"] == "https://wallet.example/failed"
    assert merchant.read(created)["status"] == "cancelled"
    receiver.wait_for(created["id"], "purchase.cancelled")


def test_a_card_the_whitelist_leaves_out_is_not_accepted(merchant: Any) -> None:
    created = merchant.purchase(payment_method_whitelist=["mastercard"])
    merchant.pay(created)
    attempt = merchant.read(created)["transaction_data"]["attempts"][0]
    assert attempt["error"]["code"] == "no_matching_terminal"


@pytest.mark.parametrize("path", ["/p/unknown/", "/p/unknown/invoice/", "/p/unknown/3ds/"])
def test_an_unknown_payment_is_a_page_too(merchant: Any, path: str) -> None:
    answer = page(merchant.url + path)
    assert answer.status_code == 404
    assert "No such payment" in answer.text


def test_closed_purchases_say_so(merchant: Any) -> None:
    created = merchant.purchase()
    merchant.control(f"/purchases/{created['id']}/expire")
    shown = page(created["checkout_url"]).text
    assert alert_code(shown) == "expired"
    assert 'id="pay"' not in shown


def test_a_payment_passes_pending_execute_when_wanted(merchant: Any, receiver: Any) -> None:
    created = merchant.purchase()
    outcome = {"result": "pending_execute", "after_seconds": 1000}
    merchant.control(
        "/next", {"operation": "checkout_pay", "outcome": outcome, "object_id": created["id"]}
    )
    waiting = merchant.pay(created)
    assert waiting.headers["Location"] == f"/p/{created['id']}/?waiting=1"
    shown = page(merchant.url + waiting.headers["Location"])
    assert 'http-equiv="refresh"' in shown.text
    assert merchant.read(created)["status"] == "pending_execute"
    merchant.control("/clock", {"advance_seconds": 1001})
    receiver.wait_for(created["id"], "purchase.paid")
    done = page(merchant.url + waiting.headers["Location"])
    assert done.headers["Location"] == "https://wallet.example/ok"
    assert receiver.events(created["id"])[-2:] == ["purchase.pending_execute", "purchase.paid"]


def test_expired_can_turn_paid_when_wanted(merchant: Any, receiver: Any) -> None:
    created = merchant.purchase()
    outcome = {"result": "expired_then_paid", "after_seconds": 500}
    merchant.control(
        "/next", {"operation": "checkout_pay", "outcome": outcome, "object_id": created["id"]}
    )
    merchant.pay(created)
    assert merchant.read(created)["status"] == "expired"
    merchant.control("/clock", {"advance_seconds": 501})
    receiver.wait_for(created["id"], "purchase.paid")
    assert merchant.read(created)["status"] == "paid"
