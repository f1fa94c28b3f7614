"""Deposits and withdrawals through the gateway, with everything that goes wrong on the way."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import requests

from octoco.testing import eventually

from ..person import Person, purchase_of
from ..system import System


def test_a_failed_attempt_is_not_final_and_the_next_one_is_credited(person: Person) -> None:
    asked = person.ask_deposit("250.00")
    person.pay(asked["checkout_url"], cvc="999")
    assert person.balance() == ("0.00", "0.00")
    person.pay(asked["checkout_url"])
    completed = person.until_status(asked["id"], "completed")
    assert person.balance() == ("250.00", "0.00")
    statuses = [step["status"] for step in completed["timeline"]]
    assert statuses[0] == "pending"
    assert statuses[-1] == "completed"
    eventually(
        lambda: sum("250.00" in str(mail["text"]) for mail in person.mails()) == 1,
        what="one mail about the deposit",
    )


def test_a_webhook_delivered_again_and_again_credits_once(person: Person) -> None:
    paid = person.deposit("100.00")
    for _ in range(2):
        person.control("redeliver", {"object_id": purchase_of(paid), "times": 5})
    other = person.deposit("1.00")
    person.control("redeliver", {"object_id": purchase_of(other), "times": 2})
    eventually(
        lambda: not person.look("deliveries", object_id=purchase_of(paid), state="pending"),
        within_seconds=30,
        what="all repeats delivered",
    )
    # A third deposit goes through everything the repeats go through, and behind them.
    person.deposit("1.00")
    assert person.balance() == ("102.00", "0.00")


def test_webhooks_in_reverse_order_credit_once(person: Person) -> None:
    asked = person.ask_deposit("60.00")
    person.control("webhooks/hold", {"on": True})
    try:
        person.pay(asked["checkout_url"], cvc="999")
        person.pay(asked["checkout_url"])
    finally:
        person.control("webhooks/release", {"order": "reversed"})
    person.until_status(asked["id"], "completed")
    assert person.balance() == ("60.00", "0.00")


def test_a_webhook_that_never_comes_delays_money_and_does_not_lose_it(person: Person) -> None:
    asked = person.ask_deposit("40.00")
    person.control(
        "next",
        {
            "operation": "webhook",
            "outcome": {"drop": True},
            "times": 20,
            "object_id": purchase_of(asked),
        },
    )
    person.pay(asked["checkout_url"])
    person.until_status(asked["id"], "completed")
    assert person.balance() == ("40.00", "0.00")


def test_money_that_comes_after_a_cancel_is_still_credited(person: Person) -> None:
    asked = person.ask_deposit("30.00")
    cancelled = person.post(f"/v1/deposits/{asked['id']}/cancel")
    assert cancelled.ok, cancelled.text
    person.control(f"purchases/{purchase_of(asked)}/pay", {"force": True})
    person.until_status(asked["id"], "completed")
    assert person.balance() == ("30.00", "0.00")


def test_another_amount_than_asked_goes_to_suspense_and_never_to_the_user(
    person: Person, system: System
) -> None:
    asked = person.ask_deposit("70.00")
    person.control(f"purchases/{purchase_of(asked)}/pay", {"amount": 6900})
    eventually(
        lambda: person.look(
            "deliveries", object_id=purchase_of(asked), event="purchase.paid", state="delivered"
        ),
        within_seconds=30,
        what="the webhook answered with 2xx",
    )
    _until_suspended(system, "69.00", purchase_of(asked))
    assert person.balance() == ("0.00", "0.00")
    # Money is there and a person decides: nothing the user could cancel any more.
    assert person.transaction(asked["id"])["status"] == "review"
    assert person.post(f"/v1/deposits/{asked['id']}/cancel").status_code == 409


def test_money_for_an_unknown_purchase_goes_to_suspense_and_blocks_nothing(
    person: Person, system: System
) -> None:
    made = person.control("purchases", {"amount": 12345, "currency": "ZAR", "pay": True})
    purchase = made.get("object", made)["id"]
    _until_suspended(system, "123.45", purchase)
    assert not person.look("deliveries", object_id=purchase, state="pending")


def test_a_withdrawal_is_held_paid_and_settled(person: Person) -> None:
    person.deposit("250.00")
    account = person.add_bank_account("62000900006")  # stays pending until told
    withdrawal = person.withdraw("100.00", account).json()
    assert person.balance() == ("150.00", "100.00")
    person.until_status(withdrawal["id"], "processing")
    payout = person.look("payouts", reference=withdrawal["id"])[0]["id"]
    person.control(f"payouts/{payout}/succeed")
    person.until_status(withdrawal["id"], "completed")
    assert person.balance() == ("150.00", "0.00")
    refused = person.withdraw("1000.00", account)
    assert (refused.status_code, refused.json()["code"]) == (422, "insufficient_funds")
    assert person.balance() == ("150.00", "0.00")


def test_a_payout_that_fails_at_the_bank_gives_the_money_back_and_says_why(person: Person) -> None:
    person.deposit("80.00")
    withdrawal = person.withdraw("50.00", person.add_bank_account("62000900002")).json()
    failed = person.until_status(withdrawal["id"], "failed")
    assert failed["reason_code"] == "payment_rejected_other_reason"
    assert person.balance() == ("80.00", "0.00")
    eventually(
        lambda: any("50.00" in str(mail["text"]) for mail in person.mails()),
        within_seconds=20,
        what="a mail that says why",
    )


def test_a_payout_whose_answer_was_lost_is_found_and_never_executed_twice(person: Person) -> None:
    person.deposit("80.00")
    for number in ("62000900004", "62000900005"):  # connection closed, 504: both took effect
        withdrawal = person.withdraw("10.00", person.add_bank_account(number)).json()
        person.until_status(withdrawal["id"], "completed")
        payouts = person.look("payouts", reference=withdrawal["id"])
        executed = [payout for payout in payouts if payout["status"] != "initialized"]
        assert len(executed) == 1
    assert person.balance() == ("60.00", "0.00")


def test_parallel_withdrawals_never_overdraw(person: Person) -> None:
    person.deposit("100.00")
    account = person.add_bank_account("62000900006")
    person.withdraw("1.00", account)
    body = {"amount": "30.00", "currency": "ZAR", "bank_account_id": account}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: person.post("/v1/withdrawals", body), range(20)))
    accepted = [answer for answer in answers if answer.status_code == 201]
    refused = {answer.json()["code"] for answer in answers if answer.status_code == 422}
    assert len(accepted) == 3, [answer.status_code for answer in answers]
    assert refused == {"insufficient_funds"}
    assert person.balance() == ("9.00", "91.00")


def test_one_idempotency_key_used_fifty_times_at_once_has_one_effect(person: Person) -> None:
    person.deposit("100.00")
    account = person.add_bank_account("62000900006")
    person.withdraw("1.00", account)
    body = {"amount": "10.00", "currency": "ZAR", "bank_account_id": account}
    start = threading.Barrier(25)

    def ask(number: int) -> requests.Response:
        if number < 25:
            start.wait()
        return person.post("/v1/withdrawals", body, key="the-one-key")

    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(ask, range(50)))
    statuses = {answer.status_code for answer in answers}
    assert statuses <= {200, 201, 409}, statuses
    made = {answer.json()["id"] for answer in answers if answer.status_code != 409}
    assert len(made) == 1
    assert person.balance() == ("89.00", "11.00")
    reused = person.post("/v1/withdrawals", {**body, "amount": "11.00"}, key="the-one-key")
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")


def test_another_persons_things_do_not_exist(new_person: Callable[[], Person]) -> None:
    owner, other = new_person(), new_person()
    deposit = owner.deposit("20.00")
    account = owner.add_bank_account()
    for path in (f"/v1/transactions/{deposit['id']}", f"/v1/bank-accounts/{account}"):
        answer = other.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["code"].endswith("not_found")
    cancelled = other.post(f"/v1/deposits/{deposit['id']}/cancel")
    assert cancelled.status_code == 404
    other.deposit("20.00")
    other.add_bank_account()
    refused = other.post(
        "/v1/withdrawals",
        {"amount": "10.00", "currency": "ZAR", "bank_account_id": account},
    )
    assert refused.status_code in {404, 422}
    assert other.balance() == ("20.00", "0.00")


def _until_suspended(system: System, amount: str, purchase: str) -> None:
    def found() -> bool:
        connection = psycopg2.connect(system.database_url("wallet"))
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM transfers WHERE kind = 'suspense' AND amount = %s"
                    " AND business_key LIKE %s",
                    (amount, f"%{purchase}%"),
                )
                return [row[0] for row in cursor] == [1]
        finally:
            connection.close()

    eventually(found, within_seconds=40, what=f"{amount} in suspense")


def test_slow_checkouts_leave_the_rest_of_the_wallet_quick(person: Person) -> None:
    person.control("outage", {"on": True})
    try:
        body = {"amount": "10.00", "currency": "ZAR"}
        headers = {"Prefer": "wait=10"}

        def ask(_: int) -> int:
            key = {"Idempotency-Key": str(uuid.uuid4()), **headers}
            return person.send("POST", "/v1/deposits", json=body, headers=key).status_code

        with ThreadPoolExecutor(20) as pool:
            asked = [pool.submit(ask, number) for number in range(20)]
            eventually(lambda: sum(one.done() for one in asked) >= 15, what="most answered at once")
            assert person.get("/v1/balance").elapsed.total_seconds() < 5
            assert {one.result() for one in asked} == {202}
    finally:
        person.control("outage", {"on": False})
