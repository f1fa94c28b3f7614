"""Withdrawals in review at the operators' desk, and freezes: races and HTTP on real PostgreSQL."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from flask.testing import FlaskClient

from octoco.ids import new_id
from wallet.domain.transactions import Transaction
from wallet.use_cases.cancel_withdrawal import request_withdrawal_cancel
from wallet.use_cases.review_withdrawal import approve_withdrawal, refuse_withdrawal

from .driving import Driver, zar
from .test_races import at_once

Headers = Callable[..., dict[str, str]]
LARGE = "3000.01"


def in_review(driver: Driver, *, user_id: str | None = None) -> Transaction:
    user_id = user_id or driver.user_with("5000.00")
    return driver.request_withdrawal(
        user_id, zar(LARGE), bank_account_id=driver.new_bank_account(user_id)
    )


def text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def decide(
    driver: Driver, use_case: Callable[..., Transaction], withdrawal: Transaction
) -> Transaction:
    return driver.wallet.units.run(
        lambda unit: use_case(
            unit,
            transaction_id=withdrawal.id,
            operator_id=new_id("usr"),
            reason="papers seen",
            at=driver.wallet.clock.now(),
        )
    )


def cancel(driver: Driver, withdrawal: Transaction) -> Transaction:
    return driver.wallet.units.run(
        lambda unit: request_withdrawal_cancel(
            unit,
            user_id=withdrawal.user_id,
            transaction_id=withdrawal.id,
            at=driver.wallet.clock.now(),
        )
    )


def freeze(driver: Driver, user_id: str) -> None:
    driver.deliver("accounts.user.frozen.v1", user_id=user_id, frozen_at=text(datetime.now(UTC)))


def test_a_withdrawal_in_review_is_listed_shown_and_approved(
    client: FlaskClient, driver: Driver, desk: Headers, headers: Headers
) -> None:
    user_id = driver.user_with("5000.00")
    body = {
        "amount": LARGE,
        "currency": "ZAR",
        "bank_account_id": driver.new_bank_account(user_id),
    }
    made: Any = client.post("/v1/withdrawals", json=body, headers=headers(user_id))
    assert (made.status_code, made.json["status"]) == (201, "review")
    assert driver.balance(user_id).held == zar(LARGE)
    assert driver.announced(made.json["id"]) == []
    operator_id = new_id("usr")
    shown = listed(client, desk(operator_id, role="support"))[made.json["id"]]
    assert (shown["user_id"], shown["user_frozen"]) == (user_id, False)
    assert shown["bank_account"] == "Example Bank ******1234"
    assert shown["bank_account_usable"] is True
    assert shown["due_at"] > shown["created_at"]
    path = f"/v1/admin/withdrawals/{made.json['id']}"
    key = desk(operator_id)
    for _ in range(2):
        approved: Any = client.post(f"{path}/approve", json={"reason": "seen"}, headers=key)
        assert (approved.status_code, approved.json["status"]) == (200, "pending")
    other = client.post(f"{path}/approve", json={"reason": "me too"}, headers=desk(new_id("usr")))
    assert other.status_code == 200
    assert driver.announced(made.json["id"]) == ["wallet.withdrawal.requested.v1"]
    detail: Any = client.get(path, headers=desk(operator_id, role="support"))
    assert [(one["operator_id"], one["reason"]) for one in detail.json["decisions"]] == [
        (operator_id, "seen")
    ]
    assert [one["cause"] for one in detail.json["timeline"]] == ["requested", "approved_in_review"]
    assert made.json["id"] not in listed(client, desk(operator_id))
    refused: Any = client.post(f"{path}/refuse", json={"reason": "no"}, headers=desk(operator_id))
    assert (refused.status_code, refused.json["code"]) == (409, "withdrawal_not_in_review")
    assert refused.json["status"] == "pending"


def listed(client: FlaskClient, headers: dict[str, str]) -> dict[str, Any]:
    """Page through all reviews, two at a time."""
    found: dict[str, Any] = {}
    cursor = ""
    while True:
        page: Any = client.get(f"/v1/admin/withdrawals?limit=2{cursor}", headers=headers)
        assert page.status_code == 200, page.text
        ids = [one["id"] for one in page.json["items"]]
        assert not set(ids) & set(found)
        assert ids == sorted(ids)
        found |= {one["id"]: one for one in page.json["items"]}
        if page.json["next_cursor"] is None:
            return found
        cursor = f"&cursor={page.json['next_cursor']}"


def test_reviews_come_in_pages_without_gap_or_repeat(
    client: FlaskClient, driver: Driver, desk: Headers
) -> None:
    made = [in_review(driver).id for _ in range(5)]
    found = listed(client, desk(new_id("usr")))
    assert [one for one in found if one in made] == made


def test_a_refused_withdrawal_gives_its_money_back_and_keeps_who_refused_it(
    client: FlaskClient, driver: Driver, desk: Headers, headers: Headers
) -> None:
    withdrawal = in_review(driver)
    path = f"/v1/admin/withdrawals/{withdrawal.id}/refuse"
    operator_id = new_id("usr")
    for _ in range(2):
        answer: Any = client.post(path, json={"reason": "no papers"}, headers=desk(operator_id))
        assert (answer.status_code, answer.json["status"]) == (200, "failed")
    assert driver.balance(withdrawal.user_id).available == zar("5000.00")
    assert driver.announced(withdrawal.id) == ["wallet.withdrawal.failed.v1"]
    own: Any = client.get(f"/v1/transactions/{withdrawal.id}", headers=headers(withdrawal.user_id))
    assert own.json["reason_code"] == "refused_in_review"
    assert "no papers" not in own.text
    kept = "SELECT operator_id, action, reason FROM operator_decisions WHERE subject = :id"
    assert [tuple(row) for row in driver.rows(kept, id=withdrawal.id)] == [
        (operator_id, "withdrawal_refused", "no papers")
    ]


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("user", "get", "/v1/admin/withdrawals", 403),
        ("user", "post", "/v1/admin/withdrawals/{id}/approve", 403),
        ("support", "post", "/v1/admin/withdrawals/{id}/approve", 403),
        ("support", "post", "/v1/admin/withdrawals/{id}/refuse", 403),
        ("support", "get", "/v1/admin/withdrawals", 200),
        ("finance", "get", "/v1/admin/withdrawals", 200),
        ("admin", "get", "/v1/admin/withdrawals", 200),
        ("admin", "get", "/v1/admin/withdrawals?status=pending", 422),
        ("admin", "get", "/v1/admin/withdrawals?cursor=zzzz", 422),
        ("admin", "get", "/v1/admin/withdrawals/{id}", 404),
        ("finance", "post", "/v1/admin/withdrawals/{id}/approve", 404),
    ],
)
def test_the_desk_opens_by_role(
    client: FlaskClient, desk: Headers, role: str, method: str, path: str, status: int
) -> None:
    body = {"json": {"reason": "why"}} if method == "post" else {}
    path = path.replace("{id}", new_id("txn"))
    answer = getattr(client, method)(path, headers=desk(new_id("usr"), role=role), **body)
    assert answer.status_code == status, answer.text


def test_decisions_need_a_key_a_reason_and_somebody_else(
    client: FlaskClient, driver: Driver, desk: Headers
) -> None:
    withdrawal = in_review(driver)
    path = f"/v1/admin/withdrawals/{withdrawal.id}/approve"
    own: Any = client.post(path, json={"reason": "mine"}, headers=desk(withdrawal.user_id))
    assert (own.status_code, own.json["code"]) == (403, "own_withdrawal")
    without: Any = client.post(path, json={"reason": "  "}, headers=desk(new_id("usr")))
    assert (without.status_code, without.json["code"]) == (422, "reason_missing")
    keyless = {**desk(new_id("usr"))}
    del keyless["Idempotency-Key"]
    missing: Any = client.post(path, json={"reason": "why"}, headers=keyless)
    assert (missing.status_code, missing.json["code"]) == (400, "idempotency_key_missing")
    assert driver.status(withdrawal.id) == "review"


def test_of_approval_refusal_and_cancel_at_once_one_wins_and_the_money_is_right(
    driver: Driver,
) -> None:
    outcomes = set()
    for _ in range(8):
        withdrawal = in_review(driver)
        at_once(
            [
                partial(decide, driver, approve_withdrawal, withdrawal),
                partial(decide, driver, refuse_withdrawal, withdrawal),
                partial(cancel, driver, withdrawal),
            ]
            * 4,
            threads=12,
        )
        status = driver.status(withdrawal.id)
        balance = driver.balance(withdrawal.user_id)
        held, told = {
            "pending": (LARGE, ["wallet.withdrawal.requested.v1"]),
            "failed": ("0.00", ["wallet.withdrawal.failed.v1"]),
            "cancelled": ("0.00", ["wallet.withdrawal.failed.v1"]),
        }[status]
        messages = driver.announced(withdrawal.id)
        if status == "pending":
            # A cancel that came after the approval is a question to the gateway.
            messages = [one for one in messages if "cancel_requested" not in one]
        assert (balance.held.amount_text, messages) == (held, told)
        assert balance.available + balance.held == zar("5000.00")
        decisions = "SELECT count(*) FROM operator_decisions WHERE subject = :id"
        assert driver.scalar(decisions, id=withdrawal.id) == (status != "cancelled")
        outcomes.add(status)
    assert outcomes <= {"pending", "failed", "cancelled"}


def test_a_frozen_user_is_refused_over_http_and_their_review_cannot_be_approved(
    client: FlaskClient, driver: Driver, desk: Headers, headers: Headers
) -> None:
    withdrawal = in_review(driver)
    user_id = withdrawal.user_id
    freeze(driver, user_id)
    body = {"amount": "1.00", "currency": "ZAR"}
    for path, extra in (
        ("/v1/deposits", {}),
        ("/v1/withdrawals", {"bank_account_id": withdrawal.bank_account_id}),
    ):
        refused: Any = client.post(path, json={**body, **extra}, headers=headers(user_id))
        assert (refused.status_code, refused.json["code"]) == (403, "user_frozen")
    operator = desk(new_id("usr"))
    path = f"/v1/admin/withdrawals/{withdrawal.id}/approve"
    approval: Any = client.post(path, json={"reason": "seen"}, headers=operator)
    assert (approval.status_code, approval.json["code"]) == (403, "user_frozen")
    assert listed(client, operator)[withdrawal.id]["user_frozen"] is True
    assert client.get("/v1/balance", headers=headers(user_id)).status_code == 200
    driver.deliver(
        "accounts.user.unfrozen.v1", user_id=user_id, unfrozen_at=text(datetime.now(UTC))
    )
    assert client.post(path, json={"reason": "seen"}, headers=operator).status_code == 200


def test_of_a_freeze_and_withdrawals_at_once_nothing_slips_through(driver: Driver) -> None:
    for _ in range(8):
        user_id = driver.user_with("1000.00")
        bank_account_id = driver.new_bank_account(user_id)

        def withdraw(user_id: str = user_id, bank_account_id: str = bank_account_id) -> str:
            withdrawal = driver.request_withdrawal(
                user_id, zar("1.00"), bank_account_id=bank_account_id
            )
            return withdrawal.id

        works: list[Callable[[], object]] = [withdraw] * 9
        works.insert(4, partial(freeze, driver, user_id))
        results = at_once(works)
        made = [one for one in results if str(one).startswith("txn_")]
        # Whoever came before the freeze is asked to be stopped; whoever came after is refused.
        for transaction_id in made:
            assert driver.announced(str(transaction_id)) == [
                "wallet.withdrawal.requested.v1",
                "wallet.withdrawal.cancel_requested.v1",
            ]
        refused = [one for one in results if one == "user_frozen"]
        assert len(made) + len(refused) == 9
        assert driver.balance(user_id).held == zar(f"{len(made)}.00")


def test_of_a_freeze_and_an_approval_at_once_nothing_slips_through(driver: Driver) -> None:
    for _ in range(8):
        withdrawal = in_review(driver)
        works: list[Callable[[], object]] = [
            partial(decide, driver, approve_withdrawal, withdrawal),
            partial(freeze, driver, withdrawal.user_id),
        ]
        at_once(works)
        told = {
            "review": [],
            "pending": ["wallet.withdrawal.requested.v1", "wallet.withdrawal.cancel_requested.v1"],
        }
        assert driver.announced(withdrawal.id) == told[driver.status(withdrawal.id)]
