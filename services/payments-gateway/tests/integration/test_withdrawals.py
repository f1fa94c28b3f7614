"""Withdrawals against the sandbox's banks: each way in which a payout can go."""

import threading
from functools import partial

import pytest

from octoco.money import Money
from octoco.testing import eventually

from .running import Running
from .sandbox import Sandbox

ACCEPTED = "payments.payout.accepted.v1"
SUCCEEDED = "payments.payout.succeeded.v1"
FAILED = "payments.payout.failed.v1"
CANCELLED = "payments.payout.cancelled.v1"
CANCEL_REFUSED = "payments.payout.cancel_refused.v1"


def executions(sandbox: Sandbox) -> int:
    """Count how often the provider was told to execute."""
    return len(sandbox.results("log?operation=payout_execute&limit=100"))


def has_ended(running: Running, transaction_id: str) -> bool:
    return bool({CANCELLED, SUCCEEDED} & set(running.said_types(transaction_id)))


@pytest.mark.parametrize(
    ("account_number", "way"),
    [
        ("62000000001", "pending, then success"),
        ("62000900004", "answer lost after it took effect"),
        ("62000900005", "504 after it took effect"),
        ("62000900008", "success at once"),
    ],
)
def test_a_payout_that_takes_effect_is_told_once(
    running: Running, sandbox: Sandbox, account_number: str, way: str
) -> None:
    transaction_id = running.request_withdrawal(account_number)
    fact = running.wait_for(SUCCEEDED, transaction_id)
    assert (fact["amount"], fact["fee_amount"]) == ("100.00", "5.00"), way
    running.wait_until_webhooks_are_finished(1)
    assert len(running.said(SUCCEEDED)) == 1
    assert running.said(FAILED) == []
    assert running.case_kinds() == set()
    assert executions(sandbox) == 1


@pytest.mark.parametrize(
    ("account_number", "reason"),
    [
        ("62000900001", "payment_rejected_other_reason"),
        ("62000900002", "payment_rejected_other_reason"),
        ("62000900003", "validation_bank_account_invalid"),
        ("62000900010", "exceeds_withdrawal_limit"),
    ],
)
def test_a_payout_that_the_bank_refuses_is_told_once(
    running: Running, sandbox: Sandbox, account_number: str, reason: str
) -> None:
    transaction_id = running.request_withdrawal(account_number)
    fact = running.wait_for(FAILED, transaction_id)
    assert (fact["reason_code"], fact["amount"]) == (reason, "100.00")
    running.wait_until_webhooks_are_finished(1)
    assert len(running.said(FAILED)) == 1
    assert executions(sandbox) == 1


def test_a_failure_that_turned_into_a_success_unseen_is_a_success(
    running: Running, sandbox: Sandbox
) -> None:
    transaction_id = running.request_withdrawal("62000900011")
    running.wait_for(SUCCEEDED, transaction_id)
    assert executions(sandbox) == 1


def test_a_payout_that_never_began_goes_to_a_person(running: Running, sandbox: Sandbox) -> None:
    transaction_id = running.request_withdrawal("62000900007")
    running.wait_for_case("payout_not_begun")
    assert executions(sandbox) == 1
    assert running.said(FAILED, transaction_id) == []
    assert running.said(SUCCEEDED, transaction_id) == []


def test_an_error_that_is_no_answer_goes_to_a_person(running: Running, sandbox: Sandbox) -> None:
    transaction_id = running.request_withdrawal("62000900009")
    running.wait_for_case("payout_unknown")
    assert running.said(FAILED, transaction_id) == []
    (payout,) = sandbox.results(f"payouts?reference={transaction_id}")
    sandbox.control(f"payouts/{payout['id']}/succeed")
    running.wait_for(SUCCEEDED, transaction_id)
    assert executions(sandbox) == 1


def test_a_success_after_the_failure_is_told_with_a_case(
    running: Running, sandbox: Sandbox
) -> None:
    transaction_id = running.request_withdrawal("62000900002")
    running.wait_for(FAILED, transaction_id)
    (payout,) = sandbox.results(f"payouts?reference={transaction_id}")
    sandbox.control(f"payouts/{payout['id']}/succeed")
    running.wait_for(SUCCEEDED, transaction_id)
    running.wait_for_case("payout_succeeded_after_end")
    assert executions(sandbox) == 1


@pytest.mark.parametrize("lost", ["close", "504"])
def test_a_lost_create_answer_pays_once(running: Running, sandbox: Sandbox, lost: str) -> None:
    sandbox.next("payout_create", lost=lost)
    transaction_id = running.request_withdrawal("62000000001")
    running.wait_for(SUCCEEDED, transaction_id)
    assert executions(sandbox) == 1
    assert running.case_kinds() == set()


def test_a_payout_is_found_without_any_webhook(running: Running, sandbox: Sandbox) -> None:
    sandbox.next("webhook", times=20, drop=True)
    transaction_id = running.request_withdrawal("62000000001")
    running.wait_for(SUCCEEDED, transaction_id)
    assert running.said_types(transaction_id)[-1] == SUCCEEDED


def test_a_short_float_waits_and_then_pays(running: Running, sandbox: Sandbox) -> None:
    sandbox.control("balance", currency="ZAR", payout_balance=9999)
    transaction_id = running.request_withdrawal("62000000001", Money.parse("100.00", "ZAR"))
    running.wait_for_case("payout_float_short")
    assert executions(sandbox) == 0
    sandbox.control("balance", currency="ZAR", payout_balance=1_000_000)
    running.wait_for(SUCCEEDED, transaction_id)


def test_of_a_cancellation_and_an_execution_exactly_one_wins(
    running: Running, sandbox: Sandbox
) -> None:
    withdrawals = [running.request_withdrawal("62000000001") for _ in range(8)]
    threads = [
        threading.Thread(target=running.cancel_withdrawal, args=(transaction_id,))
        for transaction_id in withdrawals
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for transaction_id in withdrawals:
        # Whoever lost says so, and the one that won ends.
        eventually(
            partial(has_ended, running, transaction_id),
            within_seconds=30,
            what=f"the end of {transaction_id}",
        )
        said = set(running.said_types(transaction_id))
        assert not {CANCELLED, SUCCEEDED} <= said
        assert (CANCEL_REFUSED in said) == (SUCCEEDED in said)
    paid = sum(SUCCEEDED in running.said_types(about) for about in withdrawals)
    assert executions(sandbox) == paid


def test_no_secret_of_a_payout_is_stored_in_the_clear(running: Running, sandbox: Sandbox) -> None:
    transaction_id = running.request_withdrawal("62000000001")
    running.wait_for(SUCCEEDED, transaction_id)
    (payout,) = running.rows("SELECT * FROM payouts")
    (account,) = running.rows("SELECT * FROM bank_accounts")
    everything = str(payout) + str(account)
    assert "/po/" not in everything
    assert "62000000001" not in everything
