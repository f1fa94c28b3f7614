"""The wallet through its HTTP door, on real PostgreSQL."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from octoco.ids import new_id
from octoco.testing import eventually
from wallet.bootstrap import Wallet
from wallet.entrypoints.http.app import application

from .driving import Driver, zar

Headers = Callable[..., dict[str, str]]
ZAR_250 = {"amount": "250.00", "currency": "ZAR"}


def code_of(answer: Any) -> tuple[int, str]:
    assert answer.content_type == "application/problem+json", answer.text
    return answer.status_code, answer.json["code"]


def body_of(answer: Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json


def test_a_deposit_is_accepted_paid_and_shown_with_its_timeline(
    client: FlaskClient, driver: Driver, headers: Headers
) -> None:
    user_id = driver.new_user()
    answer = client.post("/v1/deposits", json=ZAR_250, headers=headers(user_id))
    made = body_of(answer, 202)
    assert answer.headers["Location"] == f"/v1/transactions/{made['id']}"
    assert (made["kind"], made["status"], made["amount"]) == ("deposit", "pending", "250.00")
    assert "checkout_url" not in made
    driver.open_checkout(made["id"])
    driver.pay(made["id"], zar("250.00"), purchase_id=new_id("pur"))
    shown = body_of(client.get(answer.headers["Location"], headers=headers(user_id)))
    assert shown["status"] == "completed"
    assert shown["checkout_url"].startswith("https://")
    assert [(line["status"], line["cause"]) for line in shown["timeline"]] == [
        ("pending", "requested"),
        ("pending", "checkout_opened"),
        ("completed", "deposit_paid"),
    ]
    balance = body_of(client.get("/v1/balance?currency=ZAR", headers=headers(user_id)))
    assert balance == {
        "balances": [{"currency": "ZAR", "available": "250.00", "held": "0.00", "owed": "0.00"}]
    }


def test_a_deposit_waits_for_its_checkout_and_answers_201(
    client: FlaskClient, driver: Driver, wallet: Wallet, headers: Headers
) -> None:
    user_id = driver.new_user()

    def gateway() -> None:
        found = "SELECT id FROM transactions WHERE user_id = :user_id"
        driver.open_checkout(eventually(lambda: driver.scalar(found, user_id=user_id)))

    other_side = threading.Thread(target=gateway)
    other_side.start()
    answer = (
        application(wallet)
        .test_client()
        .post(
            "/v1/deposits", json=ZAR_250, headers=headers(user_id, Prefer="respond-async, wait=10")
        )
    )
    other_side.join()
    assert body_of(answer, 201)["checkout_url"] == "https://checkout.example/p/1"
    assert answer.headers["Preference-Applied"] == "wait=10"


def test_a_deposit_whose_checkout_fails_is_answered_at_once(
    client: FlaskClient, driver: Driver, headers: Headers
) -> None:
    user_id = driver.new_user()
    request = headers(user_id)
    made = body_of(client.post("/v1/deposits", json=ZAR_250, headers=request), 202)
    driver.deliver(
        "payments.checkout.closed.v1",
        transaction_id=made["id"],
        purchase_id=None,
        status="failed",
        reason_code="provider_refused",
    )
    again = body_of(client.post("/v1/deposits", json=ZAR_250, headers=request), 201)
    assert (again["id"], again["status"], again["reason_code"]) == (
        made["id"],
        "failed",
        "provider_refused",
    )


def test_a_withdrawal_holds_its_money_at_once_and_can_be_asked_back(
    client: FlaskClient, driver: Driver, headers: Headers
) -> None:
    user_id = driver.user_with("250.00")
    body = {
        "amount": "100.00",
        "currency": "ZAR",
        "bank_account_id": driver.new_bank_account(user_id),
    }
    made = body_of(client.post("/v1/withdrawals", json=body, headers=headers(user_id)), 201)
    assert (made["status"], made["bank_account_id"]) == ("pending", body["bank_account_id"])
    balance = body_of(client.get("/v1/balance", headers=headers(user_id)))["balances"]
    assert {"currency": "ZAR", "available": "150.00", "held": "100.00", "owed": "0.00"} in balance
    path = f"/v1/withdrawals/{made['id']}/cancel"
    cancelling = body_of(client.post(path, headers=headers(user_id)), 202)
    assert cancelling["status"] == "pending"
    assert driver.announced(made["id"]) == [
        "wallet.withdrawal.requested.v1",
        "wallet.withdrawal.cancel_requested.v1",
    ]
    driver.deliver("payments.payout.cancelled.v1", transaction_id=made["id"])
    shown = body_of(client.get(f"/v1/transactions/{made['id']}", headers=headers(user_id)))
    assert (shown["status"], shown["reason_code"]) == ("cancelled", "cancelled_by_user")
    assert driver.balance(user_id).available == zar("250.00")
    wrong_kind = client.post(f"/v1/deposits/{made['id']}/cancel", headers=headers(user_id))
    assert code_of(wrong_kind) == (404, "transaction_not_found")


def test_a_refused_withdrawal_leaves_nothing_and_frees_its_key(
    client: FlaskClient, driver: Driver, headers: Headers
) -> None:
    user_id = driver.user_with("250.00")
    body = {
        "amount": "1000.00",
        "currency": "ZAR",
        "bank_account_id": driver.new_bank_account(user_id),
    }
    request = headers(user_id)
    refused = client.post("/v1/withdrawals", json=body, headers=request)
    assert code_of(refused) == (422, "insufficient_funds")
    assert body_of(refused, 422)["available"] == "250.00"
    stranger = driver.new_bank_account(driver.new_user())
    cases = {
        "bank_account_not_verified": {**body, "amount": "1.00", "bank_account_id": stranger},
        "limit_exceeded": {**body, "amount": "5000.01"},
        "currency_not_offered": {**body, "currency": "USD"},
    }
    for code, wrong in cases.items():
        answer = client.post("/v1/withdrawals", json=wrong, headers=headers(user_id))
        assert code_of(answer) == (422, code)
    count = "SELECT count(*) FROM transactions WHERE user_id = :id AND kind = 'withdrawal'"
    assert driver.scalar(count, id=user_id) == 0
    body["amount"] = "10.00"
    assert client.post("/v1/withdrawals", json=body, headers=request).status_code == 201


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"amount": "-1.00", "currency": "ZAR"}, "invalid_amount"),
        ({"amount": "0", "currency": "ZAR"}, "invalid_amount"),
        ({"amount": "10.001", "currency": "ZAR"}, "invalid_amount"),
        ({"amount": "10.5", "currency": "JPY"}, "invalid_amount"),
        ({"amount": "9" * 40, "currency": "ZAR"}, "invalid_amount"),
        ({"amount": "1e3", "currency": "ZAR"}, "invalid_amount"),
        ({"amount": "NaN", "currency": "ZAR"}, "invalid_amount"),
        ({"amount": "ten", "currency": "ZAR"}, "invalid_amount"),
        ({"amount": "", "currency": "ZAR"}, "invalid_amount"),
        ({"amount": "999999999999.99", "currency": "ZAR"}, "limit_exceeded"),
        ({"amount": "10.00", "currency": "QQQ"}, "unknown_currency"),
        ({"amount": "10.00", "currency": "USD"}, "currency_not_offered"),
        ({"amount": 10.5, "currency": "ZAR"}, "invalid_request"),
        ({"amount": 10, "currency": "ZAR"}, "invalid_request"),
        ({"amount": None, "currency": "ZAR"}, "invalid_request"),
        ({"amount": "10.00", "currency": "zar"}, "invalid_request"),
        ({"amount": "10.00"}, "invalid_request"),
        ({"amount": "10.00", "currency": "ZAR", "fee": "0"}, "invalid_request"),
        ([], "invalid_request"),
        ("text", "invalid_request"),
    ],
)
def test_bad_bodies_are_refused_by_name_and_leave_nothing(
    client: FlaskClient, driver: Driver, headers: Headers, body: Any, code: str
) -> None:
    user_id = driver.new_user()
    answer = client.post("/v1/deposits", json=body, headers=headers(user_id))
    assert code_of(answer) == (422, code)
    count = "SELECT count(*) FROM transactions WHERE user_id = :id"
    assert driver.scalar(count, id=user_id) == 0


def test_broken_requests_are_problems(
    client: FlaskClient, driver: Driver, headers: Headers
) -> None:
    user_id = driver.new_user()
    request = headers(user_id)

    def post(**given: Any) -> tuple[int, str]:
        return code_of(client.post("/v1/deposits", **given))

    json_type = {"content_type": "application/json"}
    assert post(data="{broken", headers=request, **json_type) == (400, "malformed_json")
    assert post(data="x" * (5 * 2**20), headers=request, **json_type) == (413, "body_too_large")
    assert post(data="a=1", headers=request, content_type="text/plain") == (
        415,
        "unsupported_media_type",
    )
    without_key = {k: v for k, v in request.items() if k != "Idempotency-Key"}
    assert post(json=ZAR_250, headers=without_key) == (400, "idempotency_key_missing")
    assert post(json=ZAR_250) == (401, "token_missing")
    forged = {**request, "Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}
    assert post(json={"broken": True}, headers=forged) == (401, "token_invalid")
    for path in ("/v1/withdrawals", f"/v1/deposits/{new_id('txn')}/cancel"):
        answer = client.post(
            path,
            json={"amount": "1.00", "currency": "ZAR", "bank_account_id": "x"},
            headers=without_key,
        )
        assert code_of(answer) == (400, "idempotency_key_missing")


def test_a_key_used_for_another_body_is_refused(
    client: FlaskClient, driver: Driver, headers: Headers
) -> None:
    request = headers(driver.new_user())
    first = body_of(client.post("/v1/deposits", json=ZAR_250, headers=request), 202)
    again = client.post("/v1/deposits", json=ZAR_250, headers=request)
    assert body_of(again, 202)["id"] == first["id"]
    assert again.headers["Idempotent-Replayed"] == "true"
    other = client.post("/v1/deposits", json={**ZAR_250, "amount": "251.00"}, headers=request)
    assert code_of(other) == (422, "idempotency_key_reused")


def test_somebody_elses_transaction_is_not_there(
    client: FlaskClient, driver: Driver, headers: Headers
) -> None:
    owner, stranger = driver.new_user(), driver.new_user()
    deposit = driver.request_deposit(owner, zar("1.00"))
    for method, path in (
        ("get", f"/v1/transactions/{deposit.id}"),
        ("post", f"/v1/deposits/{deposit.id}/cancel"),
        ("post", f"/v1/withdrawals/{deposit.id}/cancel"),
    ):
        answer = getattr(client, method)(path, headers=headers(stranger))
        assert code_of(answer) == (404, "transaction_not_found")
    assert code_of(client.get("/v1/transactions/x", headers=headers(owner))) == (404, "not_found")


def test_a_user_the_wallet_has_not_heard_of_is_asked_to_come_back(
    client: FlaskClient, driver: Driver, headers: Headers
) -> None:
    user_id = new_id("usr")
    for answer in (
        client.get("/v1/balance", headers=headers(user_id)),
        client.post("/v1/deposits", json=ZAR_250, headers=headers(user_id)),
        client.get("/v1/transactions", headers=headers(user_id)),
    ):
        assert code_of(answer) == (503, "user_not_known_yet")
        assert answer.headers["Retry-After"] == "1"


def test_history_is_paged_newest_first_without_gap_or_repeat(
    client: FlaskClient, driver: Driver, headers: Headers
) -> None:
    user_id = driver.new_user()
    made = [driver.request_deposit(user_id, zar("1.00")).id for _ in range(7)]
    driver.pay(made[3], zar("1.00"), purchase_id=new_id("pur"))
    seen: list[str] = []
    cursor = ""
    while True:
        page = body_of(client.get(f"/v1/transactions?limit=3{cursor}", headers=headers(user_id)))
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == sorted(made, reverse=True)
    filtered = body_of(
        client.get("/v1/transactions?kind=deposit&status=completed", headers=headers(user_id))
    )
    assert [item["id"] for item in filtered["items"]] == [made[3]]
    none = body_of(client.get("/v1/transactions?kind=withdrawal", headers=headers(user_id)))
    assert none == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("cursor=zzzz", "invalid_cursor"),
        ("cursor=%F0%9F%98%80", "invalid_cursor"),
        ("limit=0", "invalid_request"),
        ("limit=101", "invalid_request"),
        ("kind=gift", "invalid_request"),
        ("status=lost", "invalid_request"),
        ("page=2", "invalid_request"),
    ],
)
def test_bad_queries_are_refused_by_name(
    client: FlaskClient, driver: Driver, headers: Headers, query: str, code: str
) -> None:
    answer = client.get(f"/v1/transactions?{query}", headers=headers(driver.new_user()))
    assert code_of(answer) == (422, code)


def test_currencies_keep_their_own_decimals(
    client: FlaskClient, driver: Driver, headers: Headers
) -> None:
    user_id = driver.user_with("1000", currency="JPY")
    deposit = client.post(
        "/v1/deposits", json={"amount": "1.5", "currency": "KWD"}, headers=headers(user_id)
    )
    assert body_of(deposit, 202)["amount"] == "1.500"
    balances = body_of(client.get("/v1/balance", headers=headers(user_id)))["balances"]
    assert balances == [
        {"currency": "JPY", "available": "1000", "held": "0", "owed": "0"},
        {"currency": "KWD", "available": "0.000", "held": "0.000", "owed": "0.000"},
        {"currency": "ZAR", "available": "0.00", "held": "0.00", "owed": "0.00"},
    ]
