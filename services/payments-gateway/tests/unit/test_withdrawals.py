"""Withdrawals at the gateway, on fakes: the order to pay is given at most once, whatever dies."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from octoco.errors import TooEarly
from octoco.ids import new_id
from octoco.intents import Again, Done
from octoco.money import Money
from payments_gateway.domain.cases import CaseKind
from payments_gateway.domain.payouts import PayoutStatus
from payments_gateway.domain.provider import PayoutOrder, PayoutReading, PayoutState
from payments_gateway.use_cases.record_payout_reading import record_payout_reading
from payments_gateway.use_cases.remove_bank_account import remove_bank_account

from .world import OURS, R100, World

ACCEPTED = "payments.payout.accepted.v1"
SUCCEEDED = "payments.payout.succeeded.v1"
FAILED = "payments.payout.failed.v1"
CANCELLED = "payments.payout.cancelled.v1"
CANCEL_REFUSED = "payments.payout.cancel_refused.v1"
REFUSING = "payment_rejected_other_reason"


def remove(world: World, bank_account_id: str) -> None:
    world.units.run(
        lambda unit: remove_bank_account(
            unit,
            user_id=world.user_id,
            bank_account_id=bank_account_id,
            now=world.clock.now(),
        )
    )


def removed_bank_account(world: World) -> str:
    bank_account_id = world.add_bank_account().bank_account_id
    remove(world, bank_account_id)
    return bank_account_id


def unverified_bank_account(world: World) -> str:
    bank_account = world.add_bank_account()
    world.unit.bank_accounts.insert(replace(bank_account, verified_at=None))
    return bank_account.bank_account_id


def test_a_withdrawal_is_created_executed_accepted_and_paid(world: World) -> None:
    transaction_id, payout_id = world.executed_payout()
    assert world.provider.executions == [payout_id]
    assert isinstance(world.perform("poll_payout", transaction_id), Again)
    world.provider.show_payout(payout_id, PayoutState.SUCCEEDED)
    assert world.perform("poll_payout", transaction_id) == Done()
    assert world.said_types == [ACCEPTED, SUCCEEDED]
    (fact,) = world.said(SUCCEEDED)
    assert (fact["fact_key"], fact["amount"]) == (f"payout:{payout_id}", "100.00")


def test_a_payout_that_succeeds_at_once_needs_no_pending(world: World) -> None:
    world.provider.execution_says = PayoutState.SUCCEEDED
    transaction_id, _ = world.executed_payout()
    assert world.perform("poll_payout", transaction_id) == Done()
    assert world.said_types == [SUCCEEDED]


def test_a_payout_that_the_bank_refuses_gives_the_money_back_once(world: World) -> None:
    world.provider.execution_says = PayoutState.ERROR
    transaction_id, payout_id = world.executed_payout()
    for _ in range(3):
        world.perform("poll_payout", transaction_id)
    (fact,) = world.said(FAILED)
    assert fact["fact_key"] == f"payout_failed:{transaction_id}"
    assert (fact["payout_id"], fact["reason_code"]) == (payout_id, REFUSING)


def test_a_request_for_an_unknown_user_waits_for_the_user() -> None:
    world = World()
    bank_account = world.add_bank_account()
    with pytest.raises(TooEarly):
        world.request_withdrawal(bank_account.bank_account_id)


def test_a_repeated_request_changes_nothing(world: World) -> None:
    transaction_id, payout_id = world.executed_payout()
    bank_account_id = world.payout(transaction_id).bank_account_id
    world.request_withdrawal(bank_account_id, transaction_id)
    assert world.perform("create_payout", transaction_id) == Done()
    assert world.perform("execute_payout", transaction_id) == Done()
    assert world.provider.executions == [payout_id]


@pytest.mark.parametrize(
    ("choose", "reason"),
    [
        (lambda _: new_id("ba"), "bank_account_not_found"),
        (
            lambda world: world.add_bank_account(new_id("usr")).bank_account_id,
            "bank_account_not_found",
        ),
        (removed_bank_account, "bank_account_removed"),
        (unverified_bank_account, "bank_account_not_verified"),
    ],
)
def test_a_withdrawal_to_an_account_that_may_not_be_paid_to_fails(
    world: World, choose: Callable[[World], str], reason: str
) -> None:
    transaction_id = world.request_withdrawal(choose(world))
    (fact,) = world.said(FAILED)
    assert (fact["transaction_id"], fact["reason_code"]) == (transaction_id, reason)
    assert ("create_payout", transaction_id) not in world.unit.intents.stored


def test_an_account_removed_before_execution_stops_the_payout(world: World) -> None:
    transaction_id, _ = world.created_payout()
    remove(world, world.payout(transaction_id).bank_account_id)
    assert world.perform("execute_payout", transaction_id) == Done()
    assert world.provider.executions == []
    assert [fact["reason_code"] for fact in world.said(FAILED)] == ["bank_account_removed"]


def test_a_refused_creation_fails_the_withdrawal(world: World) -> None:
    transaction_id = world.request_withdrawal()
    world.provider.refuse_with = "invalid_bank_code"
    assert world.perform("create_payout", transaction_id) == Done()
    assert [fact["reason_code"] for fact in world.said(FAILED)] == ["invalid_bank_code"]


def test_of_two_payouts_after_a_lost_create_answer_one_is_executed(world: World) -> None:
    transaction_id = world.request_withdrawal()
    world.provider.lost_answers = 1
    assert isinstance(world.perform("create_payout", transaction_id), Again)
    assert world.perform("create_payout", transaction_id) == Done()
    world.execute(transaction_id)
    for payout_id in world.provider.payouts:
        see(world, payout_id)
    assert world.provider.executions == [world.payout(transaction_id).payout_id]
    assert world.unit.cases.kinds == []


def test_a_payout_seen_before_its_create_answer_is_adopted(world: World) -> None:
    transaction_id = world.request_withdrawal()
    world.provider.lost_answers = 1
    world.perform("create_payout", transaction_id)
    (payout_id,) = world.provider.payouts
    see(world, payout_id)
    assert world.perform("create_payout", transaction_id) == Done()
    assert list(world.provider.payouts) == [payout_id]
    world.execute(transaction_id)
    assert world.provider.executions == [payout_id]


def test_a_payout_of_another_amount_is_never_executed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction_id = world.request_withdrawal()
    create = world.provider.create_payout

    def ten_times_as_much(order: PayoutOrder) -> PayoutReading:
        return replace(create(order), amount=Money.parse("1000.00", "ZAR"))

    monkeypatch.setattr(world.provider, "create_payout", ten_times_as_much)
    assert world.perform("create_payout", transaction_id) == Done()
    assert [fact["reason_code"] for fact in world.said(FAILED)] == ["provider_mismatch"]
    assert world.unit.cases.kinds == [CaseKind.AMOUNT_DIFFERS]
    assert ("execute_payout", transaction_id) not in world.unit.intents.stored


def test_a_short_float_waits_alarms_and_does_not_fail_the_user(world: World) -> None:
    transaction_id, payout_id = world.created_payout()
    world.provider.float_available = Money.parse("99.99", "ZAR")
    for _ in range(3):
        assert isinstance(world.perform("execute_payout", transaction_id), Again)
    assert world.unit.cases.kinds == [CaseKind.PAYOUT_FLOAT_SHORT]
    assert world.payout(transaction_id).execution_begun_at is None
    world.provider.float_available = R100
    world.execute(transaction_id)
    assert world.provider.executions == [payout_id]
    assert world.said(FAILED) == []


def test_an_old_look_at_the_float_is_repeated_before_execution(world: World) -> None:
    transaction_id, _ = world.created_payout()
    assert isinstance(world.perform("execute_payout", transaction_id), Again)
    world.pass_time(minutes=5)
    assert isinstance(world.perform("execute_payout", transaction_id), Again)
    assert world.provider.executions == []


def test_a_process_that_dies_before_the_order_leaves_it_to_a_person(world: World) -> None:
    transaction_id, _ = world.created_payout()
    world.perform("execute_payout", transaction_id)
    world.die_after_prepare("execute_payout", transaction_id)

    assert world.perform("execute_payout", transaction_id) == Done()
    assert isinstance(world.perform("poll_payout", transaction_id), Again)
    assert world.unit.cases.kinds == []
    world.pass_time(minutes=3)
    assert isinstance(world.perform("poll_payout", transaction_id), Again)

    assert world.unit.cases.kinds == [CaseKind.PAYOUT_NOT_BEGUN]
    assert world.provider.executions == []
    assert world.said_types == []


def test_a_process_that_dies_after_the_order_never_gives_it_again(world: World) -> None:
    transaction_id, payout_id = world.created_payout()
    world.perform("execute_payout", transaction_id)
    world.die_after_call("execute_payout", transaction_id)
    for _ in range(3):
        assert world.perform("execute_payout", transaction_id) == Done()
    assert world.provider.executions == [payout_id]
    world.provider.show_payout(payout_id, PayoutState.SUCCEEDED)
    world.perform("poll_payout", transaction_id)
    assert world.said_types == [SUCCEEDED]


def test_a_process_that_slept_too_long_does_not_give_the_order(world: World) -> None:
    transaction_id, _ = world.created_payout()
    world.perform("execute_payout", transaction_id)
    handler = world.handlers["execute_payout"]
    intent = world.intent("execute_payout", transaction_id)
    prepared = handler.prepare(world.unit, intent)
    world.pass_time(seconds=30)
    handler.call(prepared)
    assert world.provider.executions == []


def test_a_lost_answer_to_the_order_is_found_out_by_looking(world: World) -> None:
    transaction_id, payout_id = world.created_payout()
    world.perform("execute_payout", transaction_id)
    world.provider.lost_answers = 1
    assert world.perform("execute_payout", transaction_id) == Done()
    assert world.provider.executions == [payout_id]
    assert ("poll_payout", transaction_id) in world.unit.intents.hurried
    world.perform("poll_payout", transaction_id)
    assert world.said_types == [ACCEPTED]


def test_an_order_that_never_arrived_is_neither_repeated_nor_released(world: World) -> None:
    transaction_id, _ = world.created_payout()
    world.provider.execution_reaches_provider = False
    world.execute(transaction_id)
    world.provider.execution_reaches_provider = True
    for _ in range(5):
        world.pass_time(hours=1)
        assert isinstance(world.perform("poll_payout", transaction_id), Again)
    assert world.provider.executions == []
    assert world.said_types == []
    assert world.unit.cases.kinds == [CaseKind.PAYOUT_NOT_BEGUN]
    assert world.payout(transaction_id).status is PayoutStatus.EXECUTING


@pytest.mark.parametrize(
    "code",
    ["timeout", "timeout_acquirer_status_check", "acquirer_connection_error", "brand_new", None],
)
def test_an_error_that_is_no_answer_keeps_the_money_held_and_goes_to_a_person(
    world: World, code: str | None
) -> None:
    transaction_id, payout_id = world.executed_payout()
    world.provider.show_payout(payout_id, PayoutState.ERROR, error_code=code)
    assert isinstance(world.perform("poll_payout", transaction_id), Again)
    assert world.unit.cases.kinds == []
    world.pass_time(hours=2)
    assert isinstance(world.perform("poll_payout", transaction_id), Again)
    assert world.unit.cases.kinds == [CaseKind.PAYOUT_UNKNOWN]
    assert world.said(FAILED) == []
    world.provider.show_payout(payout_id, PayoutState.SUCCEEDED)
    assert world.perform("poll_payout", transaction_id) == Done()
    assert len(world.said(SUCCEEDED)) == 1


def test_a_success_after_a_failure_is_told_and_opens_a_case(world: World) -> None:
    world.provider.execution_says = PayoutState.ERROR
    transaction_id, payout_id = world.executed_payout()
    assert isinstance(world.perform("poll_payout", transaction_id), Again)
    world.provider.show_payout(payout_id, PayoutState.SUCCEEDED)
    assert world.perform("poll_payout", transaction_id) == Done()
    assert world.said_types == [FAILED, SUCCEEDED]
    assert world.unit.cases.kinds == [CaseKind.PAYOUT_SUCCEEDED_AFTER_END]


def test_a_failure_read_before_the_success_changes_nothing_after_it(world: World) -> None:
    _, payout_id = world.executed_payout()
    world.provider.show_payout(payout_id, PayoutState.ERROR, error_code=REFUSING)
    old = reading_of(world, payout_id)
    world.pass_time(seconds=1)
    world.provider.show_payout(payout_id, PayoutState.SUCCEEDED)
    see(world, payout_id)
    record(world, old)
    assert world.said_types == [SUCCEEDED]
    assert world.unit.cases.kinds == []


def test_a_failure_after_the_success_opens_a_case_and_releases_nothing(world: World) -> None:
    world.provider.execution_says = PayoutState.SUCCEEDED
    _, payout_id = world.executed_payout()
    see(world, payout_id)
    world.pass_time(seconds=1)
    world.provider.show_payout(payout_id, PayoutState.ERROR, error_code=REFUSING)
    see(world, payout_id)
    assert world.said_types == [SUCCEEDED]
    assert world.unit.cases.kinds == [CaseKind.PAYOUT_FAILED_AFTER_SUCCESS]


def test_another_amount_paid_out_is_told_as_it_was_and_opens_a_case(world: World) -> None:
    transaction_id, payout_id = world.executed_payout()
    shown = world.provider.show_payout(payout_id, PayoutState.SUCCEEDED)
    world.provider.payouts[payout_id] = replace(shown, amount=Money.parse("90.00", "ZAR"))
    world.perform("poll_payout", transaction_id)
    assert [fact["amount"] for fact in world.said(SUCCEEDED)] == ["90.00"]
    assert world.unit.cases.kinds == [CaseKind.AMOUNT_DIFFERS]


@pytest.mark.parametrize("step", ["requested", "created", "float looked at"])
def test_a_cancellation_before_execution_stops_it_for_ever(world: World, step: str) -> None:
    if step == "requested":
        transaction_id = world.request_withdrawal()
    else:
        transaction_id, _ = world.created_payout()
    if step == "float looked at":
        world.perform("execute_payout", transaction_id)
    world.cancel_withdrawal(transaction_id)
    world.cancel_withdrawal(transaction_id)
    for kind in ("create_payout", "execute_payout"):
        if (kind, transaction_id) in world.unit.intents.stored:
            assert world.perform(kind, transaction_id) == Done()
    assert world.provider.executions == []
    assert world.said_types == [CANCELLED, CANCELLED]


def test_a_cancellation_while_the_payout_is_being_created_leaves_it_untouched(
    world: World,
) -> None:
    transaction_id = world.request_withdrawal()
    handler = world.handlers["create_payout"]
    intent = world.intent("create_payout", transaction_id)
    prepared = handler.prepare(world.unit, intent)
    answer = handler.call(prepared)
    world.cancel_withdrawal(transaction_id)
    assert handler.record(world.unit, intent, prepared=prepared, answer=answer) == Done()
    (payout_id,) = world.provider.payouts
    see(world, payout_id)
    assert ("execute_payout", transaction_id) not in world.unit.intents.stored
    assert world.said_types == [CANCELLED]
    assert world.unit.cases.kinds == []


def test_a_cancellation_after_the_mark_is_refused_even_before_the_order(world: World) -> None:
    transaction_id, _ = world.created_payout()
    world.perform("execute_payout", transaction_id)
    world.die_after_prepare("execute_payout", transaction_id)
    world.cancel_withdrawal(transaction_id)
    assert [said["reason_code"] for said in world.said(CANCEL_REFUSED)] == ["execution_begun"]


@pytest.mark.parametrize(
    ("ends", "reason"),
    [(PayoutState.SUCCEEDED, "already_paid"), (PayoutState.ERROR, "already_failed")],
)
def test_a_cancellation_after_the_end_is_refused(
    world: World, ends: PayoutState, reason: str
) -> None:
    world.provider.execution_says = ends
    transaction_id, payout_id = world.executed_payout()
    see(world, payout_id)
    world.cancel_withdrawal(transaction_id)
    assert [said["reason_code"] for said in world.said(CANCEL_REFUSED)] == [reason]


def test_a_cancellation_that_overtakes_its_withdrawal_leaves_a_tombstone(world: World) -> None:
    transaction_id = new_id("txn")
    world.cancel_withdrawal(transaction_id)
    world.request_withdrawal(transaction_id=transaction_id)
    assert world.said_types == [CANCELLED]
    assert world.payout(transaction_id).status is PayoutStatus.CANCELLED
    assert ("create_payout", transaction_id) not in world.unit.intents.stored


def test_another_user_cannot_cancel(world: World) -> None:
    transaction_id, _ = world.created_payout()
    world.user_id = new_id("usr")
    world.cancel_withdrawal(transaction_id)
    assert world.payout(transaction_id).status is PayoutStatus.CREATED
    assert len(world.said(CANCEL_REFUSED)) == 1


@pytest.mark.parametrize(
    "moved", [PayoutState.PENDING, PayoutState.SUCCEEDED, PayoutState.ERROR, PayoutState.UNKNOWN]
)
def test_a_payout_that_somebody_else_executed_is_never_executed_by_us(
    world: World, moved: PayoutState
) -> None:
    transaction_id, payout_id = world.created_payout()
    world.perform("execute_payout", transaction_id)
    world.provider.show_payout(payout_id, moved, error_code=REFUSING)
    see(world, payout_id)
    assert world.perform("execute_payout", transaction_id) == Done()
    assert world.provider.executions == []
    assert CaseKind.PAYOUT_MOVED_UNASKED in world.unit.cases.kinds


def test_a_cancelled_payout_that_pays_all_the_same_is_told_and_opens_a_case(world: World) -> None:
    transaction_id, payout_id = world.created_payout()
    world.cancel_withdrawal(transaction_id)
    world.provider.show_payout(payout_id, PayoutState.SUCCEEDED)
    see(world, payout_id)
    assert world.said_types == [CANCELLED, SUCCEEDED]
    assert CaseKind.PAYOUT_SUCCEEDED_AFTER_END in world.unit.cases.kinds


def test_a_payout_of_nobody_that_moved_is_a_case_and_no_fact(world: World) -> None:
    _, payout_id = world.created_payout()
    known = world.provider.payouts[payout_id]
    world.provider.payouts["stranger"] = replace(
        known, payout_id="stranger", reference="", state=PayoutState.SUCCEEDED
    )
    see(world, "stranger")
    assert world.unit.cases.kinds == [CaseKind.UNKNOWN_PAYOUT]
    assert world.said_types == []


def test_a_payout_of_the_other_mode_is_a_case_and_no_fact(world: World) -> None:
    _, payout_id = world.executed_payout()
    shown = world.provider.show_payout(payout_id, PayoutState.SUCCEEDED)
    live = replace(shown, merchant=replace(OURS, is_test=False))
    record(world, live)
    assert world.unit.cases.kinds == [CaseKind.NOT_OUR_MERCHANT]
    assert world.said_types == []


def test_the_watch_over_a_failed_payout_ends(world: World) -> None:
    world.provider.execution_says = PayoutState.ERROR
    transaction_id, _ = world.executed_payout()
    assert isinstance(world.perform("poll_payout", transaction_id), Again)
    world.clock.advance(world.policy.late_money_watch + timedelta(seconds=1))
    assert world.perform("poll_payout", transaction_id) == Done()


def reading_of(world: World, payout_id: str) -> PayoutReading:
    reading = world.provider.read_payout(payout_id)
    assert reading is not None
    return reading


def see(world: World, payout_id: str) -> None:
    record(world, reading_of(world, payout_id))


def record(world: World, reading: PayoutReading) -> None:
    world.units.run(
        lambda unit: record_payout_reading(
            unit, reading, ours=OURS, policy=world.policy, now=world.clock.now()
        )
    )
