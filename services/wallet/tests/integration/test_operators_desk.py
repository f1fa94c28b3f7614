"""The operators' desk through its HTTP door, and the races it must stand, on real PostgreSQL."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from flask.testing import FlaskClient

from octoco.errors import TooEarly
from octoco.ids import new_id
from wallet.bootstrap import Wallet
from wallet.entrypoints.http.app import application

from .driving import Driver, instant, zar
from .test_http import body_of, code_of
from .test_races import at_once

Desk = Callable[..., dict[str, str]]
ADJUSTMENTS = "/v1/admin/adjustments"
SUSPENSE = "/v1/admin/suspense"
WHY = {"reason": "Checked with the bank."}


@pytest.fixture
def operators() -> tuple[str, str]:
    return new_id("usr"), new_id("usr")


def request_of(user_id: str, amount: str = "25.00") -> dict[str, str]:
    return {"user_id": user_id, "amount": amount, "currency": "ZAR", "reason": "A voucher."}


def asked(client: FlaskClient, headers: dict[str, str], body: dict[str, str]) -> str:
    return str(body_of(client.post(ADJUSTMENTS, json=body, headers=headers), 201)["id"])


def decisions_about(driver: Driver, subject: str) -> list[tuple[str, str]]:
    rows = driver.rows(
        "SELECT action, operator_id FROM operator_decisions WHERE subject = :subject ORDER BY id",
        subject=subject,
    )
    return [(row.action, row.operator_id) for row in rows]


def test_an_adjustment_is_asked_for_and_approved_by_two_people(
    client: FlaskClient, driver: Driver, desk: Desk, operators: tuple[str, str]
) -> None:
    alice, bob = operators
    user_id = driver.user_with("250.00")
    first = desk(alice)
    made = client.post(ADJUSTMENTS, json=request_of(user_id, "-25.00"), headers=first)
    adjustment = body_of(made, 201)
    assert adjustment["status"] == "open"
    assert (adjustment["amount"], adjustment["requested_by"]) == ("-25.00", alice)
    again = client.post(ADJUSTMENTS, json=request_of(user_id, "-25.00"), headers=first)
    assert body_of(again, 201) == adjustment
    assert again.headers["Idempotent-Replayed"] == "true"
    place = made.headers["Location"]
    own = client.post(f"{place}/approve", json=WHY, headers=desk(alice))
    assert code_of(own) == (403, "adjustment_needs_two_people")
    second = desk(bob, role="admin")
    approved = body_of(client.post(f"{place}/approve", json=WHY, headers=second))
    assert (approved["status"], approved["decided_by"]) == ("approved", bob)
    assert approved["decision_reason"] == WHY["reason"]
    assert body_of(client.post(f"{place}/approve", json=WHY, headers=second)) == approved
    assert body_of(client.get(place, headers=desk(bob, role="support"))) == approved
    assert driver.balance(user_id).available == zar("225.00")
    refusal = client.post(f"{place}/refuse", json=WHY, headers=desk(bob))
    assert code_of(refusal) == (409, "adjustment_already_decided")
    assert decisions_about(driver, adjustment["id"]) == [
        ("adjustment_requested", alice),
        ("adjustment_approved", bob),
    ]


def test_a_debit_finds_what_is_there_and_no_more(
    client: FlaskClient, driver: Driver, desk: Desk, operators: tuple[str, str]
) -> None:
    alice, bob = operators
    user_id = driver.user_with("250.00")
    adjustment_id = asked(client, desk(alice), request_of(user_id, "-250.01"))
    place = f"{ADJUSTMENTS}/{adjustment_id}"
    answer = client.post(f"{place}/approve", json=WHY, headers=desk(bob))
    assert code_of(answer) == (422, "insufficient_funds")
    assert body_of(answer, 422)["available"] == "250.00"
    assert body_of(client.get(place, headers=desk(bob)))["status"] == "open"
    refused = body_of(client.post(f"{place}/refuse", json=WHY, headers=desk(bob)))
    assert refused["status"] == "refused"
    assert driver.balance(user_id).available == zar("250.00")
    assert decisions_about(driver, adjustment_id)[-1] == ("adjustment_refused", bob)


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("user", "get", ADJUSTMENTS, 403),
        ("user", "get", SUSPENSE, 403),
        ("support", "get", ADJUSTMENTS, 200),
        ("support", "get", SUSPENSE, 200),
        ("support", "post", ADJUSTMENTS, 403),
        ("support", "post", SUSPENSE, 403),
        ("support", "post", f"{SUSPENSE}/p1/assign", 403),
        ("support", "post", f"{SUSPENSE}/p1/undo", 403),
        ("support", "post", f"{ADJUSTMENTS}/{new_id('adj')}/approve", 403),
        ("support", "post", f"{ADJUSTMENTS}/{new_id('adj')}/refuse", 403),
        ("finance", "get", ADJUSTMENTS, 200),
        ("admin", "get", SUSPENSE, 200),
    ],
)
def test_support_looks_and_finance_and_admin_decide(
    client: FlaskClient, desk: Desk, role: str, method: str, path: str, status: int
) -> None:
    answer = client.open(path, method=method, headers=desk(new_id("usr"), role=role))
    assert answer.status_code == status


def test_what_is_asked_at_the_desk_is_checked(
    client: FlaskClient, driver: Driver, desk: Desk
) -> None:
    user_id = driver.new_user()
    alice = new_id("usr")
    cases: dict[tuple[int, str], tuple[str, dict[str, Any]]] = {
        (404, "user_not_found"): (ADJUSTMENTS, request_of(new_id("usr"))),
        (422, "invalid_amount"): (ADJUSTMENTS, request_of(user_id, "0.00")),
        (422, "unknown_currency"): (ADJUSTMENTS, {**request_of(user_id), "currency": "XXQ"}),
        (422, "reason_missing"): (ADJUSTMENTS, {**request_of(user_id), "reason": "  "}),
        (422, "invalid_request"): (ADJUSTMENTS, {**request_of(user_id), "decided_by": alice}),
        (404, "adjustment_not_found"): (f"{ADJUSTMENTS}/{new_id('adj')}/approve", WHY),
        (404, "purchase_not_booked"): (
            f"{SUSPENSE}/{new_id('pur')}/assign",
            {**WHY, "user_id": user_id},
        ),
    }
    found = {
        expected: code_of(client.post(path, json=body, headers=desk(alice)))
        for expected, (path, body) in cases.items()
    }
    assert {expected for expected, code in found.items() if expected != code} == set()
    strange = client.post(
        f"{SUSPENSE}/%00/assign", json={**WHY, "user_id": user_id}, headers=desk(alice)
    )
    assert strange.status_code == 404
    for path in (ADJUSTMENTS, SUSPENSE):
        lost = client.get(f"{path}?cursor=nonsense", headers=desk(alice))
        assert code_of(lost) == (422, "invalid_cursor")
        no_key = {"Authorization": desk(alice)["Authorization"]}
        body = request_of(user_id) if path == ADJUSTMENTS else entry_of(new_id("ref"))
        assert code_of(client.post(path, json=body, headers=no_key)) == (
            400,
            "idempotency_key_missing",
        )


def entry_of(reference: str, amount: str = "250.00") -> dict[str, str]:
    return {"reference": reference, "amount": amount, "currency": "ZAR", **WHY}


def test_adjustments_are_listed_in_pages(client: FlaskClient, driver: Driver, desk: Desk) -> None:
    alice = new_id("usr")
    user_id = driver.user_with("250.00")
    made = {asked(client, desk(alice), request_of(user_id)) for _ in range(3)}
    seen: list[str] = []
    path = f"{ADJUSTMENTS}?status=open&limit=2"
    cursor = ""
    while not made <= set(seen):
        page = body_of(client.get(f"{path}{cursor}", headers=desk(alice)))
        assert {one["status"] for one in page["items"]} == {"open"}
        seen += [one["id"] for one in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == sorted(set(seen), reverse=True)


def test_suspended_money_is_seen_and_assigned_to_the_deposit_it_pays_for(
    client: FlaskClient, driver: Driver, desk: Desk
) -> None:
    alice = new_id("usr")
    user_id = driver.new_user()
    deposit = driver.request_deposit(user_id, zar("250.00"))
    purchase_id = new_id("pur")
    driver.pay(None, zar("250.00"), purchase_id=purchase_id)
    assert purchase_id in {one["purchase_id"] for one in everything(client, desk)}
    body = {**WHY, "user_id": user_id, "transaction_id": deposit.id}
    path = f"{SUSPENSE}/{purchase_id}/assign"
    stranger = {**body, "user_id": driver.new_user()}
    refused = client.post(path, json=stranger, headers=desk(alice))
    assert code_of(refused) == (409, "deposit_does_not_fit")
    assigned = body_of(client.post(path, json=body, headers=desk(alice)))
    assert (assigned["user_id"], assigned["left"]) == (user_id, "250.00")
    assert purchase_id not in {one["purchase_id"] for one in everything(client, desk)}
    assert driver.status(deposit.id) == "completed"
    assert driver.balance(user_id).available == zar("250.00")
    assert driver.announced(deposit.id)[-1] == "wallet.deposit.completed.v1"
    assert decisions_about(driver, purchase_id) == [("suspense_assigned", alice)]
    (case,) = driver.rows(
        "SELECT status, closed_by, closed_reason FROM operator_cases WHERE subject = :subject",
        subject=f"purchase:{purchase_id}",
    )
    assert tuple(case) == ("closed", alice, WHY["reason"])
    elsewhere = {**WHY, "user_id": driver.new_user()}
    assert code_of(client.post(path, json=elsewhere, headers=desk(alice))) == (
        409,
        "already_assigned",
    )
    driver.charge_back(purchase_id, zar("250.00"), chargeback_id=new_id("chb"))
    assert driver.status(deposit.id) == "reversed"
    assert driver.balance(user_id).available == zar("0.00")


def everything(client: FlaskClient, desk: Desk) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    path = f"{SUSPENSE}?limit=100"
    cursor: str | None = ""
    while cursor is not None:
        page = body_of(client.get(f"{path}{cursor}", headers=desk(new_id("usr"))))
        found += page["items"]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert [one["booked_at"] for one in found] == sorted(one["booked_at"] for one in found)
    return found


def test_money_seen_at_revio_is_entered_once_and_undone(
    client: FlaskClient, driver: Driver, desk: Desk
) -> None:
    alice, reference = new_id("usr"), new_id("pur")
    entry = entry_of(reference)
    entered = body_of(client.post(SUSPENSE, json=entry, headers=desk(alice)), 201)
    assert (entered["left"], "user_id" in entered) == ("250.00", False)
    twice = client.post(SUSPENSE, json=entry, headers=desk(alice))
    assert code_of(twice) == (409, "already_booked")
    driver.pay(None, zar("250.00"), purchase_id=reference)
    assert driver.answer(f"purchase:{reference}") == ("suspended", "entered_by_operator")
    booked = "SELECT count(*) FROM transfers WHERE subject = :subject"
    assert driver.scalar(booked, subject=reference) == 1
    path = f"{SUSPENSE}/{reference}/undo"
    undone = body_of(client.post(path, json=WHY, headers=desk(alice)))
    assert undone["left"] == "0.00"
    assert reference not in {one["purchase_id"] for one in everything(client, desk)}
    told = new_id("pur")
    driver.pay(None, zar("1.00"), purchase_id=told)
    answer = client.post(f"{SUSPENSE}/{told}/undo", json=WHY, headers=desk(alice))
    assert code_of(answer) == (409, "transfer_not_reversible")


def test_one_person_alone_brings_no_money_from_revio_to_anybody(
    client: FlaskClient, driver: Driver, desk: Desk
) -> None:
    alice, bob = driver.new_user(), driver.new_user()
    reference = new_id("pur")
    body_of(client.post(SUSPENSE, json=entry_of(reference), headers=desk(alice)), 201)
    path = f"{SUSPENSE}/{reference}/assign"
    user_id = driver.new_user()
    for by, to, code in (
        (alice, alice, "own_assignment"),
        (alice, user_id, "assignment_needs_two_people"),
        (bob, alice, "assignment_needs_two_people"),
        (bob, bob, "own_assignment"),
    ):
        answer = client.post(path, json={**WHY, "user_id": to}, headers=desk(by))
        assert code_of(answer) == (403, code)
    own = client.post(ADJUSTMENTS, json=request_of(alice), headers=desk(alice))
    assert code_of(own) == (403, "own_adjustment")
    place = f"{ADJUSTMENTS}/{asked(client, desk(alice), request_of(bob))}/approve"
    assert code_of(client.post(place, json=WHY, headers=desk(bob))) == (403, "own_adjustment")
    driver.deliver("accounts.user.frozen.v1", user_id=bob, frozen_at=instant())
    to_user = {**WHY, "user_id": user_id}
    assert code_of(client.post(path, json=to_user, headers=desk(bob))) == (403, "user_frozen")
    driver.deliver("accounts.user.unfrozen.v1", user_id=bob, unfrozen_at=instant())
    assert body_of(client.post(path, json=to_user, headers=desk(bob)))["user_id"] == user_id
    assert driver.balance(user_id).available == zar("250.00")


def test_two_approvers_at_once_move_the_money_once(
    wallet: Wallet, driver: Driver, client: FlaskClient, desk: Desk
) -> None:
    app = application(wallet)
    for _ in range(3):
        user_id = driver.user_with("10.00")
        adjustment_id = asked(client, desk(new_id("usr")), request_of(user_id))
        path = f"{ADJUSTMENTS}/{adjustment_id}/approve"

        def approve(path: str = path) -> str:
            answer: Any = app.test_client().post(path, json=WHY, headers=desk(new_id("usr")))
            return str(answer.json["status" if answer.status_code == 200 else "code"])

        results = Counter(at_once([approve] * 8))
        assert results == {"approved": 1, "adjustment_already_decided": 7}
        assert driver.balance(user_id).available == zar("35.00")
        made = [action for action, _ in decisions_about(driver, adjustment_id)]
        assert made == ["adjustment_requested", "adjustment_approved"]


def test_approving_and_refusing_at_once_end_one_way(
    wallet: Wallet, driver: Driver, client: FlaskClient, desk: Desk
) -> None:
    app = application(wallet)
    for _ in range(3):
        user_id = driver.user_with("10.00")
        adjustment_id = asked(client, desk(new_id("usr")), request_of(user_id))

        def decide(word: str, adjustment_id: str = adjustment_id) -> str:
            path = f"{ADJUSTMENTS}/{adjustment_id}/{word}"
            answer: Any = app.test_client().post(path, json=WHY, headers=desk(new_id("usr")))
            return str(answer.json["status" if answer.status_code == 200 else "code"])

        words = ["approve", "refuse"] * 4
        results = Counter(at_once([partial(decide, word) for word in words]))
        assert results.pop("adjustment_already_decided") == 7
        (decision,) = results
        available = {"approved": "35.00", "refused": "10.00"}[str(decision)]
        assert driver.balance(user_id).available == zar(available)


def test_assigning_twice_at_once_gives_the_money_to_one(
    wallet: Wallet, driver: Driver, desk: Desk
) -> None:
    app = application(wallet)
    purchase_id = new_id("pur")
    driver.pay(None, zar("250.00"), purchase_id=purchase_id)
    users = [driver.new_user() for _ in range(4)]

    def assign(user_id: str) -> str:
        answer: Any = app.test_client().post(
            f"{SUSPENSE}/{purchase_id}/assign",
            json={**WHY, "user_id": user_id},
            headers=desk(new_id("usr")),
        )
        return str(answer.json["user_id" if answer.status_code == 200 else "code"])

    results = at_once([partial(assign, user_id) for user_id in users])
    assert Counter(results)["already_assigned"] == 3
    balances = [driver.balance(user_id).available.amount_text for user_id in users]
    assert sorted(balances) == ["0.00", "0.00", "0.00", "250.00"]


def test_assigning_and_refunding_suspended_money_at_once_lets_it_go_one_way(
    wallet: Wallet, driver: Driver, desk: Desk
) -> None:
    app = application(wallet)
    for _ in range(4):
        purchase_id, payment_id = new_id("pur"), new_id("pay")
        driver.pay(None, zar("250.00"), purchase_id=purchase_id)
        user_id = driver.new_user()

        def assign(purchase_id: str = purchase_id, user_id: str = user_id) -> int:
            return (
                app.test_client()
                .post(
                    f"{SUSPENSE}/{purchase_id}/assign",
                    json={**WHY, "user_id": user_id},
                    headers=desk(new_id("usr")),
                )
                .status_code
            )

        refund = partial(driver.refund, purchase_id, zar("250.00"), payment_id=payment_id)
        works: list[Callable[[], object]] = [assign, refund]
        at_once(works)
        assert driver.answer(f"refund:{payment_id}") == ("refunded", None)
        balance = driver.balance(user_id) if driver_has(driver, user_id) else None
        assert balance is None or balance.available.is_zero


def driver_has(driver: Driver, user_id: str) -> bool:
    count = "SELECT count(*) FROM ledger_accounts WHERE user_id = :user_id"
    return bool(driver.scalar(count, user_id=user_id))


def test_a_refund_a_chargeback_and_withdrawals_of_the_same_money_at_once(driver: Driver) -> None:
    for _ in range(4):
        user_id = driver.new_user()
        bank_account_id = driver.new_bank_account(user_id)
        deposit = driver.request_deposit(user_id, zar("250.00"))
        purchase_id, payment_id, chargeback_id = new_id("pur"), new_id("pay"), new_id("chb")
        driver.pay(deposit.id, zar("250.00"), purchase_id=purchase_id)

        def withdraw(user_id: str = user_id, bank_account_id: str = bank_account_id) -> str:
            return driver.request_withdrawal(
                user_id, zar("100.00"), bank_account_id=bank_account_id
            ).status.value

        refund = partial(driver.refund, purchase_id, zar("200.00"), payment_id=payment_id)
        charge = partial(
            driver.charge_back, purchase_id, zar("200.00"), chargeback_id=chargeback_id
        )
        works: list[Callable[[], object]] = [refund, charge, withdraw, withdraw, refund, charge]
        results = at_once(works)
        held = results.count("pending") * 100
        answers = {
            driver.answer(f"refund:{payment_id}"),
            driver.answer(f"chargeback:{chargeback_id}"),
        }
        assert ("refused", "exceeds_purchase") in answers
        assert len(answers) == 2
        balance = driver.balance(user_id)
        assert balance.held.amount == held
        # What is left of the deposit is what the user has, less what they owe.
        assert balance.available.amount + held - balance.receivable.amount == 50
        assert balance.available.is_zero or balance.receivable.is_zero
        charged_back = ("charged_back", None) in answers
        assert driver.status(deposit.id) == ("reversed" if charged_back else "partially_refunded")


def test_a_refund_and_the_payment_it_is_of_may_come_in_any_order(driver: Driver) -> None:
    user_id = driver.new_user()
    deposit = driver.request_deposit(user_id, zar("250.00"))
    purchase_id, payment_id = new_id("pur"), new_id("pay")
    with pytest.raises(TooEarly):
        driver.refund(purchase_id, zar("50.00"), payment_id=payment_id)
    driver.pay(deposit.id, zar("250.00"), purchase_id=purchase_id)
    driver.refund(purchase_id, zar("50.00"), payment_id=payment_id)
    assert driver.status(deposit.id) == "partially_refunded"
    assert driver.balance(user_id).available == zar("200.00")


def test_a_user_sees_what_they_owe_and_repays_it_first(
    client: FlaskClient, driver: Driver, headers: Callable[..., dict[str, str]]
) -> None:
    user_id = driver.new_user()
    deposit = driver.request_deposit(user_id, zar("250.00"))
    purchase_id, chargeback_id, payout_id = new_id("pur"), new_id("chb"), new_id("out")
    driver.pay(deposit.id, zar("250.00"), purchase_id=purchase_id)
    withdrawal = driver.request_withdrawal(
        user_id, zar("200.00"), bank_account_id=driver.new_bank_account(user_id)
    )
    driver.succeed_payout(withdrawal.id, zar("200.00"), payout_id)
    driver.charge_back(purchase_id, zar("250.00"), chargeback_id=chargeback_id)

    def shown() -> dict[str, str]:
        path = "/v1/balance?currency=ZAR"
        (balance,) = body_of(client.get(path, headers=headers(user_id)))["balances"]
        return dict(balance)

    assert shown() == {"currency": "ZAR", "available": "0.00", "held": "0.00", "owed": "200.00"}
    second = driver.request_deposit(user_id, zar("150.00"))
    driver.pay(second.id, zar("150.00"), purchase_id=new_id("pur"))
    assert (shown()["available"], shown()["owed"]) == ("0.00", "50.00")
    driver.win_chargeback(purchase_id, zar("250.00"), chargeback_id=chargeback_id)
    assert (shown()["available"], shown()["owed"]) == ("200.00", "0.00")
    assert driver.status(deposit.id) == "completed"
