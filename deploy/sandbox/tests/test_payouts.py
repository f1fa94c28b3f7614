"""Payouts: two steps, magic account numbers, the balance they draw on, and lost answers."""

from typing import Any

import pytest
import requests


def test_a_payout_is_created_in_the_documented_shape(merchant: Any, receiver: Any) -> None:
    created = merchant.payout(18_000)
    assert created["type"] == "payout"
    assert created["status"] == "initialized"
    assert created["payment"]["is_outgoing"] is True
    assert created["payment"]["amount"] == 18_000
    assert created["payment"]["net_amount"] + created["payment"]["fee_amount"] == 18_000
    assert created["execution_url"] == f"{merchant.url}/po/{created['id']}/bank_eft/"
    assert merchant.read_payout(created) == created
    receiver.wait_for(created["id"], "payout.created")


def test_executing_goes_through_pending_to_success(merchant: Any, receiver: Any) -> None:
    created = merchant.payout()
    answer = merchant.execute(created)
    assert answer.status_code == 200
    assert answer.json()["status"] == "pending"
    done = merchant.wait_for_payout(created, "success")
    assert [one["status"] for one in done["status_history"]] == [
        "initialized",
        "pending",
        "success",
    ]
    assert done["transaction_data"]["attempts"][0]["successful"] is True
    assert done["payment"]["paid_on"] is not None
    receiver.wait_for(created["id"], "payout.success")
    assert receiver.events(created["id"]) == ["payout.created", "payout.pending", "payout.success"]


@pytest.mark.parametrize(
    ("suffix", "statuses", "code"),
    [
        ("900001", ["initialized", "error"], "payment_rejected_other_reason"),
        ("900002", ["initialized", "pending", "error"], "payment_rejected_other_reason"),
        ("900003", ["initialized", "pending", "error"], "validation_bank_account_invalid"),
        ("900009", ["initialized", "pending", "error"], "timeout_acquirer_status_check"),
        ("900010", ["initialized", "error"], "exceeds_withdrawal_limit"),
    ],
)
def test_magic_accounts_that_fail(
    merchant: Any, receiver: Any, suffix: str, statuses: list[str], code: str
) -> None:
    created = merchant.payout()
    answer = merchant.execute(created, f"62000{suffix}").json()
    failed = merchant.wait_for_payout(created, "error")
    assert [one["status"] for one in failed["status_history"]] == statuses
    assert failed["transaction_data"]["attempts"][0]["error"]["code"] == code
    if "pending" not in statuses:
        assert answer["status"] == "error"
        assert answer["error"]["code"] == code
    receiver.wait_for(created["id"], "payout.failed")


def test_an_account_that_is_paid_at_once(merchant: Any) -> None:
    created = merchant.payout()
    assert merchant.execute(created, "62000900008").json()["status"] == "success"
    history = merchant.read_payout(created)["status_history"]
    assert [one["status"] for one in history] == ["initialized", "success"]


def test_an_answer_lost_by_a_closed_connection_took_effect(merchant: Any) -> None:
    created = merchant.payout()
    with pytest.raises(requests.ConnectionError):
        merchant.execute(created, "62000900004")
    merchant.wait_for_payout(created, "success")


def test_an_answer_lost_by_504_took_effect(merchant: Any) -> None:
    created = merchant.payout()
    assert merchant.execute(created, "62000900005").status_code == 504
    merchant.wait_for_payout(created, "success")


def test_a_504_without_effect_leaves_no_trace(merchant: Any) -> None:
    created = merchant.payout()
    assert merchant.execute(created, "62000900007").status_code == 504
    after = merchant.read_payout(created)
    assert after["status"] == "initialized"
    assert after["transaction_data"]["attempts"] == []


def test_a_stuck_payout_waits_for_control(merchant: Any) -> None:
    created = merchant.payout()
    merchant.execute(created, "62000900006")
    assert merchant.read_payout(created)["status"] == "pending"
    merchant.control(f"/payouts/{created['id']}/fail", {"code": "do_not_honour"})
    failed = merchant.read_payout(created)
    assert failed["transaction_data"]["attempts"][0]["error"]["code"] == "do_not_honour"
    merchant.control(f"/payouts/{created['id']}/succeed")
    assert merchant.read_payout(created)["status"] == "success"


def test_a_success_can_follow_a_failure(merchant: Any, receiver: Any) -> None:
    created = merchant.payout()
    merchant.execute(created, "62000900011")
    receiver.wait_for(created["id"], "payout.success")
    assert receiver.events(created["id"])[-2:] == ["payout.failed", "payout.success"]


def test_a_repeated_execution_is_refused_while_pending_and_after_success(merchant: Any) -> None:
    created = merchant.payout()
    merchant.execute(created, "62000900006")
    for _ in range(2):
        answer = merchant.execute(created)
        assert answer.status_code == 400
        assert answer.json()["__all__"][0]["code"] == "payout_execute_wrong_status"
        if merchant.read_payout(created)["status"] == "pending":
            merchant.control(f"/payouts/{created['id']}/succeed")


def test_a_failed_payout_may_be_executed_again(merchant: Any) -> None:
    created = merchant.payout()
    merchant.execute(created, "62000900001")
    merchant.execute(created, "62000000001")
    done = merchant.wait_for_payout(created, "success")
    successes = [one["successful"] for one in done["transaction_data"]["attempts"]]
    assert successes == [True, False]


def test_executing_needs_the_whole_bank_account_but_no_key(merchant: Any) -> None:
    created = merchant.payout()
    url = created["execution_url"]
    answer = requests.post(url, json={"payout_type": "bank"}, timeout=30)
    assert answer.status_code == 400
    assert sorted(answer.json()) == [
        "bank_account_name",
        "bank_account_number",
        "bank_code",
        "bank_name",
    ]
    wrong = requests.post(url, json={}, headers={"Authorization": "Bearer no"}, timeout=30)
    assert wrong.status_code == 401
    assert merchant.read_payout(created)["status"] == "initialized"


def test_there_is_no_execute_path_inside_the_api(merchant: Any) -> None:
    created = merchant.payout()
    assert merchant.call("POST", f"/payouts/{created['id']}/execute/").status_code == 404


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (0, "min_value"),
        (-5, "min_value"),
        ("1.5", "invalid"),
        (None, "null"),
        (10**13, "max_value"),
    ],
)
def test_a_payout_amount_must_be_a_positive_integer(
    merchant: Any, amount: object, code: str
) -> None:
    body = {
        "brand_id": "11111111-2222-4333-8444-555555555555",
        "client": {"email": "a@b.co"},
        "payment": {"amount": amount, "currency": "ZAR"},
    }
    answer = merchant.call("POST", "/payouts/", body)
    assert answer.status_code == 400
    assert answer.json()["payment"]["amount"][0]["code"] == code


def test_a_payout_beyond_the_balance_fails_for_want_of_funds(merchant: Any) -> None:
    merchant.control("/balance", {"currency": "ZAR", "payout_balance": 15_000})
    first, second = merchant.payout(10_000), merchant.payout(10_000)
    merchant.execute(first, "62000900006")
    balance = merchant.get("/account/json/balance/")["ZAR"]
    assert balance["payout_balance"] == 15_000
    assert balance["pending_payouts"] == 10_000
    assert balance["available_payout_balance"] == 5_000
    answer = merchant.execute(second).json()
    assert answer["error"]["code"] == "insufficient_funds"
    merchant.control(f"/payouts/{first['id']}/succeed")
    assert merchant.get("/balance/")["ecommerce"]["ZAR"]["available_payout_balance"] == 5_000
    merchant.control("/balance", {"currency": "ZAR", "payout_balance": 100_000_000})


def test_paid_purchases_and_refunds_show_in_the_balance(merchant: Any) -> None:
    before = merchant.get("/account/json/balance/?currency=ZAR")["ZAR"]
    created = merchant.purchase()
    merchant.pay(created)
    merchant.call("POST", f"/purchases/{created['id']}/refund/", {"amount": 5_000})
    after = merchant.get("/account/json/balance/?currency=ZAR")["ZAR"]
    assert after["gross_balance"] - before["gross_balance"] == 20_000
    assert after["fee_sell"] - before["fee_sell"] == 725
