"""Deposits against the sandbox: real webhooks, real polls, real faults."""

from collections.abc import Callable

import pytest
import requests

from octoco.testing import eventually

from .running import Running
from .sandbox import Sandbox

OPENED = "payments.checkout.opened.v1"
CLOSED = "payments.checkout.closed.v1"
PAID = "payments.deposit.paid.v1"
ATTEMPT_FAILED = "payments.checkout.attempt_failed.v1"


def test_a_deposit_fails_once_and_is_paid_at_the_second_try(
    running: Running, sandbox: Sandbox
) -> None:
    opened = running.open_checkout()
    sandbox.pay(opened["checkout_url"], cvc="999")
    failed = running.wait_for(ATTEMPT_FAILED, opened["transaction_id"])
    assert failed["reason_code"] == "validation_cvc_invalid"
    sandbox.pay(opened["checkout_url"])
    paid = running.wait_for(PAID, opened["transaction_id"])
    assert (paid["amount"], paid["currency"], paid["fee_amount"]) == ("250.00", "ZAR", "7.25")
    assert running.said_types(opened["transaction_id"]) == [OPENED, ATTEMPT_FAILED, PAID]
    assert running.case_kinds() == set()


def pay_with_duplicates(sandbox: Sandbox, url: str, purchase_id: str) -> None:
    sandbox.next("webhook", times=5, duplicates=2)
    sandbox.pay(url)
    sandbox.control("redeliver", object_id=purchase_id, event="purchase.paid", times=2)


def pay_without_any_webhook(sandbox: Sandbox, url: str, purchase_id: str) -> None:
    sandbox.next("webhook", times=20, drop=True)
    sandbox.pay(url)


def pay_in_reversed_order(sandbox: Sandbox, url: str, purchase_id: str) -> None:
    sandbox.control("webhooks/hold", on=True)
    sandbox.pay(url, cvc="999")
    sandbox.pay(url)
    sandbox.control(f"purchases/{purchase_id}/settle", stale=True)
    sandbox.control("webhooks/release", order="reversed")


def pay_with_a_stale_snapshot_after(sandbox: Sandbox, url: str, purchase_id: str) -> None:
    sandbox.pay(url)
    sandbox.control(
        "webhooks/send", event="purchase.viewed", object_id=purchase_id, status="created"
    )


def pay_while_reads_lag(sandbox: Sandbox, url: str, purchase_id: str) -> None:
    sandbox.next("purchase_read", times=2, result="stale")
    sandbox.pay(url)


def pay_with_an_unknown_status_first(sandbox: Sandbox, url: str, purchase_id: str) -> None:
    sandbox.next("purchase_read", times=2, result="unknown_status")
    sandbox.pay(url)


def pay_slowly(sandbox: Sandbox, url: str, purchase_id: str) -> None:
    sandbox.next("checkout_pay", result="pending_execute", after_seconds=0.5)
    sandbox.pay(url)


@pytest.mark.parametrize(
    "pay",
    [
        pay_with_duplicates,
        pay_without_any_webhook,
        pay_in_reversed_order,
        pay_with_a_stale_snapshot_after,
        pay_while_reads_lag,
        pay_with_an_unknown_status_first,
        pay_slowly,
    ],
)
def test_a_payment_is_told_exactly_once(
    running: Running, sandbox: Sandbox, pay: Callable[[Sandbox, str, str], None]
) -> None:
    opened = running.open_checkout()
    pay(sandbox, opened["checkout_url"], opened["purchase_id"])
    paid = running.wait_for(PAID, opened["transaction_id"])
    assert paid["fact_key"] == f"purchase:{opened['purchase_id']}"
    sandbox.control("webhooks/hurry")
    running.wait_until_webhooks_are_finished(1)
    assert len(running.said(PAID)) == 1
    assert running.case_kinds() == set()


@pytest.mark.parametrize("lost", ["close", "504"])
def test_a_lost_create_answer_ends_with_one_payable_purchase(
    running: Running, sandbox: Sandbox, lost: str
) -> None:
    sandbox.next("purchase_create", lost=lost)
    opened = running.open_checkout()
    reference = opened["transaction_id"]

    def one_is_payable() -> bool:
        made = sandbox.results(f"purchases?reference={reference}")
        states = sorted(purchase["status"] for purchase in made)
        return states in (["cancelled", "created"], ["created"])

    eventually(one_is_payable, within_seconds=20, what="the spare's end")
    sandbox.pay(opened["checkout_url"])
    running.wait_for(PAID, reference)
    assert len(running.said(OPENED)) == 1
    assert running.said(CLOSED) == []


def test_a_refused_creation_closes_the_checkout(running: Running, sandbox: Sandbox) -> None:
    sandbox.next("purchase_create", http_status=400, code="invalid_email", message="No.")
    transaction_id = running.request_deposit()
    closed = running.wait_for(CLOSED, transaction_id)
    assert (closed["status"], closed["reason_code"]) == ("failed", "invalid_email")


def test_a_wrong_key_is_our_trouble_and_not_the_users(running: Running, sandbox: Sandbox) -> None:
    sandbox.next("purchase_create", http_status=401, code="authentication_failed", message="No.")
    opened = running.open_checkout()
    assert running.said(CLOSED) == []
    assert opened["checkout_url"]


def test_another_amount_is_told_as_it_came_in(running: Running, sandbox: Sandbox) -> None:
    opened = running.open_checkout()
    sandbox.control(f"purchases/{opened['purchase_id']}/pay", amount=24900)
    paid = running.wait_for(PAID, opened["transaction_id"])
    assert paid["amount"] == "249.00"
    running.wait_for_case("amount_differs")


@pytest.mark.parametrize("pay", [True, False])
def test_a_purchase_of_nobody_opens_a_case(
    running: Running, sandbox: Sandbox, *, pay: bool
) -> None:
    made = sandbox.control("purchases", amount=5000, currency="ZAR", pay=pay)
    running.wait_for_case("unknown_purchase")
    running.wait_until_webhooks_are_finished(1)
    if pay:
        purchase_id = str(made.get("id") or made["object"]["id"])
        assert running.wait_for(PAID, purchase_id)["transaction_id"] is None
    else:
        assert running.said(PAID) == []


def test_an_authentic_event_about_what_revio_does_not_show_opens_a_case(
    running: Running, sandbox: Sandbox
) -> None:
    body = {"id": "00000000-0000-4000-8000-000000000000", "type": "purchase", "status": "paid"}
    sandbox.control("webhooks/send", event="purchase.paid", body=body)
    running.wait_for_case("object_not_found")
    assert running.said(PAID) == []


@pytest.mark.parametrize("signature", ["invalid", "missing", "foreign"])
def test_a_webhook_that_is_not_signed_by_our_webhooks_key_has_no_effect(
    running: Running, sandbox: Sandbox, signature: str
) -> None:
    opened = running.open_checkout()
    running.wait_until_webhooks_are_finished(1)
    (before,) = running.rows("SELECT count(*) AS n FROM webhook_deliveries")
    body = {"id": opened["purchase_id"], "type": "purchase", "status": "paid"}
    sandbox.control("webhooks/send", event="purchase.paid", body=body, signature=signature)
    eventually(lambda: running.rows("SELECT 1 FROM refused_webhooks"), what="the refused delivery")
    (after,) = running.rows("SELECT count(*) AS n FROM webhook_deliveries")
    assert after.n == before.n
    assert running.said(PAID) == []


def test_a_cancelled_deposit_cannot_be_paid(running: Running, sandbox: Sandbox) -> None:
    opened = running.open_checkout()
    running.cancel_deposit(opened["transaction_id"])
    closed = running.wait_for(CLOSED, opened["transaction_id"])
    assert (closed["status"], closed["reason_code"]) == ("cancelled", "cancelled_by_user")
    (purchase,) = sandbox.results(f"purchases?reference={opened['transaction_id']}")
    assert purchase["status"] == "cancelled"


def test_money_after_the_expiry_is_told(running: Running, sandbox: Sandbox) -> None:
    opened = running.open_checkout()
    sandbox.control(f"purchases/{opened['purchase_id']}/expire")
    closed = running.wait_for(CLOSED, opened["transaction_id"])
    assert closed["status"] == "expired"
    sandbox.control(f"purchases/{opened['purchase_id']}/pay", force=True)
    assert running.wait_for(PAID, opened["transaction_id"])["amount"] == "250.00"


def test_the_webhook_answers_at_once_and_repeats_get_200(
    running: Running, sandbox: Sandbox
) -> None:
    opened = running.open_checkout()
    running.wait_until_webhooks_are_finished(1)
    sandbox.control("redeliver", object_id=opened["purchase_id"], times=3)
    eventually(
        lambda: all(
            delivery["state"] == "delivered"
            for delivery in sandbox.results(f"deliveries?object_id={opened['purchase_id']}")
        ),
        what="all deliveries delivered",
    )
    assert requests.get(f"{sandbox.url}/health", timeout=5).ok


def test_refunds_and_a_chargeback_are_told_once_for_each_of_their_payments(
    running: Running, sandbox: Sandbox
) -> None:
    opened = running.open_checkout()
    purchase_id = opened["purchase_id"]
    sandbox.pay(opened["checkout_url"])
    running.wait_for(PAID, opened["transaction_id"])
    refund = sandbox.refund(purchase_id, amount=10000)
    told = running.wait_for("payments.refund.succeeded.v1", opened["transaction_id"])
    assert (told["payment_id"], told["amount"]) == (refund["id"], "100.00")
    sandbox.control("redeliver", object_id=refund["id"], event="payment.refunded", times=2)
    sandbox.control(f"purchases/{purchase_id}/chargeback")
    told = running.wait_for("payments.chargeback.opened.v1", opened["transaction_id"])
    assert (told["purchase_id"], told["amount"]) == (purchase_id, "150.00")
    assert running.said_types(opened["transaction_id"]).count("payments.refund.succeeded.v1") == 1
    assert running.case_kinds() == {"purchase_reversed"}
