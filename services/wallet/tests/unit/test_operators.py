"""What operators do about money, on fakes: adjustments, and suspense in and out."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from octoco.ids import new_id
from octoco.money import InvalidAmount
from wallet.domain.adjustments import Adjustment, AdjustmentStatus
from wallet.domain.errors import (
    AdjustmentAlreadyDecided,
    AdjustmentNeedsTwoPeople,
    AdjustmentNotFound,
    AlreadyAssigned,
    AlreadyBooked,
    AmountNotPositive,
    AssignmentNeedsTwoPeople,
    DepositDoesNotFit,
    ExceedsPurchase,
    InsufficientFunds,
    OwnAdjustment,
    OwnAssignment,
    PurchaseNotBooked,
    ReasonMissing,
    TransferNotReversible,
    UserFrozen,
    UserNotFound,
)
from wallet.domain.ledger import PurchaseMoney
from wallet.use_cases.assign_suspense import assign_suspense
from wallet.use_cases.decide_adjustment import decide_adjustment
from wallet.use_cases.enter_suspense import enter_suspense, undo_suspense_entry
from wallet.use_cases.list_for_operators import list_adjustments, list_suspense
from wallet.use_cases.request_adjustment import request_adjustment

from .story import NOW, Story, zar

ALICE = new_id("usr")
BOB = new_id("usr")


def ask(
    story: Story, amount: str = "25.00", *, user_id: str | None = None, by: str = ALICE
) -> Adjustment:
    return story.units.run(
        lambda unit: request_adjustment(
            unit,
            operator_id=by,
            user_id=user_id or story.user_id,
            money=zar(amount),
            reason="A voucher was promised.",
            at=NOW,
        )
    )


def decide(
    story: Story, adjustment: Adjustment, *, by: str = BOB, approve: bool = True
) -> Adjustment:
    return story.units.run(
        lambda unit: decide_adjustment(
            unit,
            operator_id=by,
            adjustment_id=adjustment.id,
            approve=approve,
            reason="Checked.",
            at=NOW,
        )
    )


def assign(
    story: Story,
    purchase_id: str = "p1",
    *,
    transaction_id: str | None = None,
    user_id: str | None = None,
    by: str = BOB,
) -> PurchaseMoney:
    return story.units.run(
        lambda unit: assign_suspense(
            unit,
            operator_id=by,
            purchase_id=purchase_id,
            user_id=user_id or story.user_id,
            transaction_id=transaction_id,
            reason="The payer called.",
            at=NOW,
        )
    )


def enter(
    story: Story, reference: str = "p1", amount: str = "250.00", *, by: str = ALICE
) -> PurchaseMoney:
    return story.units.run(
        lambda unit: enter_suspense(
            unit,
            operator_id=by,
            reference=reference,
            money=zar(amount),
            reason="Seen on the statement.",
            at=NOW,
        )
    )


def undo(story: Story, reference: str = "p1") -> PurchaseMoney:
    return story.units.run(
        lambda unit: undo_suspense_entry(
            unit, operator_id=BOB, reference=reference, reason="A slip.", at=NOW
        )
    )


def decisions(story: Story) -> list[str]:
    return [made.action.value for made in story.unit.operator_decisions.made]


def test_an_adjustment_moves_money_when_somebody_else_approves_it(story: Story) -> None:
    adjustment = ask(story)
    assert (adjustment.status, story.money()) == (AdjustmentStatus.OPEN, ("0.00", "0.00"))
    approved = decide(story, adjustment)
    assert (approved.status, approved.decided_by) == (AdjustmentStatus.APPROVED, BOB)
    assert story.money() == ("25.00", "0.00")
    assert story.unit.ledger.system["adjustments", "ZAR"] == Decimal("-25.00")
    assert decide(story, adjustment) == approved
    assert story.money() == ("25.00", "0.00")
    assert decisions(story) == ["adjustment_requested", "adjustment_approved"]


def test_whoever_asked_can_neither_approve_nor_refuse(story: Story) -> None:
    adjustment = ask(story)
    for approve in (True, False):
        with pytest.raises(AdjustmentNeedsTwoPeople):
            decide(story, adjustment, by=ALICE, approve=approve)
    assert story.money() == ("0.00", "0.00")


def test_nobody_asks_for_or_decides_an_adjustment_of_their_own_money(story: Story) -> None:
    with pytest.raises(OwnAdjustment):
        ask(story, by=story.user_id)
    adjustment = ask(story)
    for approve in (True, False):
        with pytest.raises(OwnAdjustment):
            decide(story, adjustment, by=story.user_id, approve=approve)
    assert story.money() == ("0.00", "0.00")
    assert decisions(story) == ["adjustment_requested"]


def test_an_adjustment_is_decided_once(story: Story) -> None:
    adjustment = ask(story)
    decide(story, adjustment, approve=False)
    for by, approve in ((BOB, True), (new_id("usr"), False)):
        with pytest.raises(AdjustmentAlreadyDecided):
            decide(story, adjustment, by=by, approve=approve)
    assert story.money() == ("0.00", "0.00")


def test_a_debit_of_more_than_there_is_leaves_the_request_open(funded: Story) -> None:
    adjustment = ask(funded, "-300.00")
    with pytest.raises(InsufficientFunds):
        decide(funded, adjustment)
    assert funded.unit.adjustments.stored[adjustment.id].status is AdjustmentStatus.OPEN
    assert (funded.money(), funded.owed()) == (("250.00", "0.00"), "0.00")
    decide(funded, adjustment, approve=False)


def test_a_credit_by_hand_repays_what_is_owed_first(funded: Story) -> None:
    funded.succeed(funded.withdraw("100.00"))
    funded.charge_back(purchase_id="funding")
    decide(funded, ask(funded, "130.00"))
    assert (funded.money(), funded.owed()) == (("30.00", "0.00"), "0.00")


def test_an_adjustment_needs_a_user_and_a_reason(story: Story) -> None:
    with pytest.raises(UserNotFound):
        ask(story, user_id=new_id("usr"))
    with pytest.raises(ReasonMissing):
        request_adjustment(
            story.unit,
            operator_id=ALICE,
            user_id=story.user_id,
            money=zar("1.00"),
            reason=" ",
            at=NOW,
        )
    with pytest.raises(InvalidAmount):
        ask(story, "0.00")
    with pytest.raises(AdjustmentNotFound):
        decide_adjustment(
            story.unit,
            operator_id=BOB,
            adjustment_id=new_id("adj"),
            approve=True,
            reason="Checked.",
            at=NOW,
        )


def test_adjustments_are_listed_by_status_in_pages(story: Story) -> None:
    made = [ask(story, f"{number}.00") for number in range(1, 6)]
    decide(story, made[0])
    newest_first = sorted((one.id for one in made[1:]), reverse=True)
    page, before_id = list_adjustments(
        story.unit, status=AdjustmentStatus.OPEN, before_id=None, limit=3
    )
    assert [one.id for one in page] == newest_first[:3]
    page, before_id = list_adjustments(
        story.unit, status=AdjustmentStatus.OPEN, before_id=before_id, limit=3
    )
    assert ([one.id for one in page], before_id) == (newest_first[3:], None)


def test_suspended_money_is_assigned_to_the_deposit_it_pays_for(story: Story) -> None:
    deposit = story.deposit()
    story.pay(None)
    assert story.cases() == ["unknown_transaction"]
    purchase = assign(story, transaction_id=deposit.id)
    assert purchase.user_id == story.user_id
    assert (story.status(deposit), story.money()) == ("completed", ("250.00", "0.00"))
    assert story.suspense() == 0
    assert story.unit.operator_cases.count_open() == {}
    assert story.unit.announced()[-1] == "wallet.deposit.completed.v1"
    assert assign(story, transaction_id=deposit.id) == purchase
    assert decisions(story) == ["suspense_assigned"]
    assert story.money() == ("250.00", "0.00")


def test_money_of_another_amount_is_credited_apart_and_its_deposit_fails(story: Story) -> None:
    deposit = story.deposit()
    story.pay(deposit.id, "249.00")
    with pytest.raises(DepositDoesNotFit):
        assign(story, transaction_id=deposit.id)
    assign(story)
    stored = story.unit.transactions.stored[deposit.id]
    assert (stored.status.value, stored.reason_code) == ("failed", "credited_apart")
    assert story.money() == ("249.00", "0.00")
    assert story.unit.operator_cases.count_open() == {}


def test_suspended_money_is_assigned_once(story: Story) -> None:
    story.pay(None)
    other = new_id("usr")
    story.deliver(
        "accounts.user.registered.v1", user_id=other, registered_at="2026-11-22T12:00:00Z"
    )
    assign(story)
    with pytest.raises(AlreadyAssigned):
        assign(story, user_id=other)
    with pytest.raises(AlreadyAssigned):
        assign(story, transaction_id=story.deposit().id)
    assert story.suspense() == 0
    assert sum(story.unit.ledger.system.values()) == Decimal("-250.00")


def test_what_is_not_in_suspense_cannot_be_assigned(funded: Story) -> None:
    with pytest.raises(PurchaseNotBooked):
        assign(funded, "p9")
    with pytest.raises(AlreadyAssigned):
        assign(funded, "funding")
    funded.pay(None, purchase_id="p2")
    with pytest.raises(UserNotFound):
        assign(funded, "p2", user_id=new_id("usr"))
    funded.refund(purchase_id="p2")
    with pytest.raises(AlreadyAssigned):
        assign(funded, "p2")


@pytest.mark.parametrize("which", ["another amount", "credited", "charged back", "withdrawal"])
def test_only_a_deposit_that_waits_for_this_money_is_completed_by_it(
    funded: Story, which: str
) -> None:
    transactions = {
        "another amount": lambda: funded.deposit("251.00").id,
        "credited": lambda: _credited(funded),
        "charged back": lambda: _charged_back(funded),
        "withdrawal": lambda: funded.withdraw("250.00").id,
    }
    transaction_id = transactions[which]()
    funded.pay(None, purchase_id="odd")
    with pytest.raises(DepositDoesNotFit):
        assign(funded, "odd", transaction_id=transaction_id)


def _credited(story: Story) -> str:
    deposit = story.deposit()
    story.pay(deposit.id, purchase_id="other")
    return deposit.id


def _charged_back(story: Story) -> str:
    deposit_id = _credited(story)
    story.charge_back(purchase_id="other")
    return deposit_id


def test_a_deposit_that_was_charged_back_is_not_paid_by_another_purchase(funded: Story) -> None:
    deposit_id = _charged_back(funded)
    answer = funded.pay(deposit_id, purchase_id="second")
    assert (answer["outcome"], answer["code"]) == ("suspended", "already_credited")


def test_a_refund_follows_assigned_money_to_its_user_and_deposit(story: Story) -> None:
    deposit = story.deposit("150.00")
    story.pay(None)
    story.refund("100.00")
    assign(story, transaction_id=deposit.id)
    assert story.money() == ("150.00", "0.00")
    answer = story.charge_back("150.00")
    assert (answer["outcome"], answer["transaction_id"]) == ("charged_back", deposit.id)
    assert (story.status(deposit), story.money()) == ("reversed", ("0.00", "0.00"))
    story.win_chargeback("150.00")
    assert story.money() == ("150.00", "0.00")


def test_what_lies_in_suspense_is_listed_oldest_first(story: Story) -> None:
    for number in range(5):
        story.clock.advance(timedelta(minutes=1))
        story.pay(None, f"{number + 1}.00", purchase_id=f"p{number}")
    assign(story, "p1")
    story.refund("2.00", purchase_id="p2")
    page, after = list_suspense(story.unit, after=0, limit=3)
    assert [(one.purchase_id, one.left.amount_text) for one in page] == [
        ("p0", "1.00"),
        ("p2", "1.00"),
        ("p3", "4.00"),
    ]
    assert after is not None
    page, after = list_suspense(story.unit, after=after, limit=3)
    assert ([one.purchase_id for one in page], after) == (["p4"], None)


def test_money_that_an_operator_enters_is_never_booked_twice(story: Story) -> None:
    deposit = story.deposit()
    entered = enter(story)
    assert (entered.user_id, entered.left) == (None, zar("250.00"))
    with pytest.raises(AlreadyBooked):
        enter(story)
    answer = story.pay(deposit.id)
    assert (answer["outcome"], answer["code"]) == ("suspended", "entered_by_operator")
    assert story.suspense() == Decimal("250.00")
    assert story.cases() == ["entered_by_operator"]
    assign(story, transaction_id=deposit.id)
    assert (story.status(deposit), story.money()) == ("completed", ("250.00", "0.00"))
    assert decisions(story) == ["suspense_entered", "suspense_assigned"]


def test_whoever_entered_money_neither_assigns_it_nor_is_given_it(story: Story) -> None:
    enter(story)
    with pytest.raises(AssignmentNeedsTwoPeople):
        assign(story, by=ALICE)
    with pytest.raises(OwnAssignment):
        assign(story, by=story.user_id)
    enter(story, "p2", by=story.user_id)
    with pytest.raises(AssignmentNeedsTwoPeople):
        assign(story, "p2")
    assert story.money() == ("0.00", "0.00")
    assert assign(story).user_id == story.user_id


def test_nobody_assigns_to_themselves_what_revio_told_of_either(story: Story) -> None:
    story.pay(None)
    with pytest.raises(OwnAssignment):
        assign(story, by=story.user_id)
    assert story.suspense() == Decimal("250.00")


def test_a_frozen_operator_decides_nothing(story: Story) -> None:
    adjustment = ask(story)
    enter(story)
    made = decisions(story)
    story.deliver("accounts.user.frozen.v1", user_id=BOB, frozen_at="2026-11-22T12:00:00Z")
    attempts: list[Callable[[], object]] = [
        lambda: ask(story, by=BOB),
        lambda: decide(story, adjustment),
        lambda: decide(story, adjustment, approve=False),
        lambda: enter(story, "p2", by=BOB),
        lambda: assign(story),
        lambda: undo(story),
    ]
    for attempt in attempts:
        with pytest.raises(UserFrozen):
            attempt()
    assert decisions(story) == made
    story.deliver("accounts.user.unfrozen.v1", user_id=BOB, unfrozen_at="2026-11-22T12:00:01Z")
    assert assign(story).user_id == story.user_id


def test_what_revio_told_of_is_not_entered_by_hand(story: Story) -> None:
    story.pay(story.deposit().id)
    with pytest.raises(AlreadyBooked):
        enter(story)
    with pytest.raises(AmountNotPositive):
        enter(story, "p2", "0.00")


def test_an_entry_is_undone_while_all_of_it_lies_in_suspense(story: Story) -> None:
    enter(story)
    assert undo(story).left == zar("0.00")
    assert undo(story).is_undone
    assert story.suspense() == 0
    assert decisions(story) == ["suspense_entered", "suspense_undone"]
    with pytest.raises(AlreadyBooked):
        enter(story)
    with pytest.raises(AlreadyAssigned):
        assign(story)
    enter(story, "p2")
    assign(story, "p2")
    with pytest.raises(ExceedsPurchase):
        undo(story, "p2")


def test_only_an_entry_can_be_undone(story: Story) -> None:
    with pytest.raises(PurchaseNotBooked):
        undo(story)
    story.pay(None)
    with pytest.raises(TransferNotReversible):
        undo(story)
