"""Control: faults to order, the clock, strangers' purchases, and the log."""

import time
from typing import Any

import pytest
import requests


def knob(merchant: Any, operation: str, outcome: dict[str, Any], **match: Any) -> None:
    merchant.control("/next", {"operation": operation, "outcome": outcome, **match})


def test_the_next_call_can_be_refused_with_any_status(merchant: Any) -> None:
    knob(merchant, "purchase_create", {"http_status": 429, "code": "rate_limited"}, times=2)
    for _ in range(2):
        answer = merchant.call("POST", "/purchases/", {})
        assert answer.status_code == 429
        assert answer.json()["__all__"][0]["code"] == "rate_limited"
    merchant.purchase()


def test_a_knob_can_wait_for_one_object_or_reference(merchant: Any) -> None:
    one, other = merchant.purchase(), merchant.purchase()
    knob(merchant, "purchase_read", {"http_status": 500}, object_id=one["id"])
    assert merchant.read(other)["id"] == other["id"]
    assert merchant.call("GET", f"/purchases/{one['id']}/").status_code == 500
    knob(merchant, "purchase_create", {"http_status": 502}, reference="dep_x")
    merchant.purchase(reference="dep_y")
    body = {"reference": "dep_x"}
    assert merchant.call("POST", "/purchases/", body).status_code == 502


def test_a_lost_create_answer_leaves_a_purchase_behind(merchant: Any, receiver: Any) -> None:
    knob(merchant, "purchase_create", {"lost": "close"}, reference="dep_lost")
    with pytest.raises(requests.ConnectionError):
        merchant.purchase(reference="dep_lost")
    found = merchant.look("/purchases?reference=dep_lost")["results"]
    assert len(found) == 1
    receiver.wait_for(found[0]["id"], "purchase.created")


def test_an_answer_lost_before_has_no_effect(merchant: Any) -> None:
    knob(merchant, "payout_create", {"lost_before": "504"}, reference="wd_lost")
    body = {"reference": "wd_lost"}
    assert merchant.call("POST", "/payouts/", body).status_code == 504
    assert merchant.look("/payouts?reference=wd_lost")["results"] == []


def test_a_call_can_be_slow(merchant: Any) -> None:
    created = merchant.purchase()
    knob(merchant, "purchase_read", {"delay_seconds": 0.3}, object_id=created["id"])
    began = time.monotonic()
    merchant.read(created)
    assert time.monotonic() - began >= 0.3


def test_a_read_can_be_stale_or_say_an_unknown_status(merchant: Any) -> None:
    created = merchant.purchase()
    merchant.pay(created)
    knob(merchant, "purchase_read", {"result": "stale"}, object_id=created["id"])
    assert merchant.read(created)["status"] == "created"
    knob(merchant, "purchase_read", {"result": "unknown_status"}, object_id=created["id"])
    assert merchant.read(created)["status"] == "retrieved"
    assert merchant.read(created)["status"] == "paid"


def test_a_knob_beats_a_magic_account_number(merchant: Any) -> None:
    created = merchant.payout()
    knob(merchant, "payout_execute", {"result": "success"}, reference=created["reference"])
    assert merchant.execute(created, "62000900001").json()["status"] == "success"


def test_an_outage_is_503_for_everybody_but_control(merchant: Any) -> None:
    created = merchant.purchase()
    merchant.control("/outage", {"on": True})
    assert merchant.call("GET", f"/purchases/{created['id']}/").status_code == 503
    answer = requests.get(created["checkout_url"], timeout=30)
    assert answer.status_code == 503
    assert "not available" in answer.text
    assert requests.get(f"{merchant.url}/health", timeout=30).status_code == 200
    merchant.control("/outage", {"on": False})
    assert merchant.read(created)["status"] == "created"


def test_a_purchase_unknown_to_the_merchant_is_paid(merchant: Any, receiver: Any) -> None:
    made = merchant.control("/purchases", {"amount": 7_700, "currency": "USD"})
    assert (made["status"], made["payment"]["currency"]) == ("paid", "USD")
    receiver.wait_for(made["id"], "purchase.paid")


def test_a_purchase_can_be_paid_with_another_amount(merchant: Any) -> None:
    created = merchant.purchase()
    merchant.control(f"/purchases/{created['id']}/pay", {"amount": 24_900})
    after = merchant.read(created)
    assert after["purchase"]["total"] == 25_000
    assert after["payment"]["amount"] == 24_900


def test_a_cancelled_purchase_is_paid_by_force_only(merchant: Any) -> None:
    created = merchant.purchase()
    merchant.call("POST", f"/purchases/{created['id']}/cancel/")
    pay = f"/purchases/{created['id']}/pay"
    merchant.control(pay, status=400)
    assert merchant.control(pay, {"force": True})["status"] == "paid"


def test_an_attempt_can_be_failed_without_a_browser(merchant: Any) -> None:
    created = merchant.purchase()
    pay = f"/purchases/{created['id']}/pay"
    failed = merchant.control(pay, {"error_code": "do_not_honour"})
    assert failed["status"] == "error"
    assert merchant.control(pay)["status"] == "paid"


def test_a_chargeback_takes_the_rest(merchant: Any, receiver: Any) -> None:
    created = merchant.purchase()
    merchant.pay(created)
    payment = merchant.control(f"/purchases/{created['id']}/chargeback")
    receiver.wait_for(payment["id"], "payment.charged_back")
    after = merchant.read(created)
    assert (after["status"], after["refundable_amount"]) == ("chargeback", 0)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/next", {"operation": "purchase_paint", "outcome": {"lost": "504"}}),
        ("/next", {"operation": "purchase_read", "outcome": {}}),
        ("/next", {"operation": "purchase_read", "outcome": {"lots": "504"}}),
        ("/next", {"operation": "purchase_read", "outcome": {"lost": "maybe"}}),
        ("/next", {"operation": "purchase_read", "outcome": {"result": "paid"}}),
        ("/next", {"operation": "purchase_read", "outcome": {"delay_seconds": -1}}),
        ("/next", {"operation": "purchase_read", "outcome": {"lost": "504"}, "tims": 2}),
        ("/clock", {"advance_seconds": -1}),
        ("/clock", {"scale": 0}),
        ("/webhooks/release", {"order": "random"}),
        ("/redeliver", {"object_id": "nothing"}),
        ("/purchases", {"amount": "many"}),
        ("/purchases/none/pay", {}),
        ("/payouts/none/fail", {}),
        ("/balance", {"currency": "XXX", "payout_balance": 1}),
    ],
)
def test_control_refuses_what_it_does_not_understand(
    merchant: Any, path: str, body: dict[str, Any]
) -> None:
    assert "error" in merchant.control(path, body, status=400)


def test_the_log_shows_calls_and_faults_and_masks_cards(merchant: Any) -> None:
    created = merchant.purchase()
    knob(merchant, "checkout_pay", {"result": "error"}, object_id=created["id"])
    merchant.pay(created)
    rows = merchant.look(f"/log?path={created['id']}&operation=checkout_pay")["results"]
    assert rows[0]["status"] == 303
    assert rows[0]["fault"] == "result=error"
    assert rows[0]["request"]["card_number"] == "***"
    assert rows[0]["request"]["cvc"] == "***"
    assert rows[0]["request"]["cardholder_name"] == "Thandi Nkosi"


def test_the_page_shows_what_goes_on_and_its_forms_work(merchant: Any) -> None:
    created = merchant.purchase()
    shown = requests.get(f"{merchant.url}/control/", timeout=30).text
    assert created["id"] in shown
    form = {"operation": "purchase_read", "outcome": '{"http_status": 500}', "times": "1"}
    answer = requests.post(f"{merchant.url}/control/next", data=form, timeout=30)
    assert answer.url == f"{merchant.url}/control/"
    assert "http_status" in answer.text
    assert merchant.call("GET", f"/purchases/{created['id']}/").status_code == 500


def test_a_reset_with_data_leaves_webhooks_and_keys(own_sandbox: Any, open_merchant: Any) -> None:
    merchant = open_merchant(own_sandbox.url)
    body = {"title": "W", "callback": "http://127.0.0.1:9/x", "all_events": True}
    webhook = merchant.call("POST", "/webhooks/", body).json()
    merchant.purchase()
    merchant.control("/outage", {"on": True})
    state = merchant.control("/reset", {"data": True})
    assert (state["objects"], state["deliveries"], state["outage"]) == ({}, {}, False)
    assert merchant.get("/webhooks/")["results"] == [webhook]
