"""Refunds and chargebacks on fakes: who pays, how much, how often, and what the deposit shows."""

from decimal import Decimal
from functools import partial
from itertools import permutations

import pytest

from octoco.errors import TooEarly

from .story import Story


@pytest.fixture
def paid(story: Story) -> Story:
    story.pay(story.deposit().id)
    return story


def only_deposit(story: Story) -> str:
    (deposit,) = story.unit.transactions.stored.values()
    return deposit.status.value


def test_a_refund_is_taken_from_the_user_and_shown_on_the_deposit(paid: Story) -> None:
    answer = paid.refund("100.00")
    assert (answer["outcome"], answer["code"]) == ("refunded", None)
    (deposit,) = paid.unit.transactions.stored.values()
    assert answer["transaction_id"] == deposit.id
    assert (deposit.status.value, deposit.reason_code) == (
        "partially_refunded",
        "partially_refunded",
    )
    assert paid.money() == ("150.00", "0.00")
    assert paid.refund("150.00", payment_id="r2")["outcome"] == "refunded"
    assert only_deposit(paid) == "refunded"
    assert paid.money() == ("0.00", "0.00")
    assert paid.causes(deposit) == ["requested", "deposit_paid", "refunded", "refunded"]
    assert paid.unit.ledger.system["provider_clearing", "ZAR"] == 0


def test_a_refund_is_booked_once_however_often_it_comes(paid: Story) -> None:
    first = paid.refund("100.00")
    assert [paid.refund("100.00"), paid.refund("100.00")] == [first, first]
    assert paid.money() == ("150.00", "0.00")


def test_the_same_refund_with_another_amount_is_refused(paid: Story) -> None:
    paid.refund("100.00")
    answer = paid.refund("101.00")
    assert (answer["outcome"], answer["code"]) == ("refused", "business_key_reused")
    assert paid.money() == ("150.00", "0.00")
    assert paid.cases() == ["business_key_reused"]


def test_refunds_of_the_same_amount_are_told_apart_by_their_payments(paid: Story) -> None:
    for payment_id in ("r1", "r2"):
        paid.refund("100.00", payment_id=payment_id)
    assert paid.money() == ("50.00", "0.00")


def test_no_more_goes_back_than_came_in(paid: Story) -> None:
    paid.refund("200.00")
    for answer in (paid.refund("50.01", payment_id="r2"), paid.charge_back("50.01")):
        assert (answer["outcome"], answer["code"]) == ("refused", "exceeds_purchase")
    assert paid.money() == ("50.00", "0.00")
    assert only_deposit(paid) == "partially_refunded"
    assert paid.cases() == ["exceeds_purchase", "exceeds_purchase"]


def test_a_refund_in_another_currency_is_refused(paid: Story) -> None:
    answer = paid.refund("10.00", currency="USD")
    assert (answer["outcome"], answer["code"]) == ("refused", "currency_mismatch")


def test_what_comes_before_its_purchase_waits_for_it(story: Story) -> None:
    deposit = story.deposit()
    with pytest.raises(TooEarly, match="purchase p1"):
        story.refund()
    with pytest.raises(TooEarly, match="purchase p1"):
        story.charge_back()
    with pytest.raises(TooEarly, match="chargeback c1"):
        story.win_chargeback()
    story.pay(deposit.id)
    assert story.charge_back()["outcome"] == "charged_back"


def test_a_chargeback_of_money_that_was_spent_is_owed_and_repaid_first(funded: Story) -> None:
    withdrawal = funded.withdraw("200.00")
    funded.succeed(withdrawal, "200.00")
    assert funded.charge_back(purchase_id="funding")["outcome"] == "charged_back"
    assert (funded.money(), funded.owed()) == (("0.00", "0.00"), "200.00")
    funded.pay(funded.deposit("150.00").id, "150.00", purchase_id="p2")
    assert (funded.money(), funded.owed()) == (("0.00", "0.00"), "50.00")
    funded.pay(funded.deposit("80.00").id, "80.00", purchase_id="p3")
    assert (funded.money(), funded.owed()) == (("30.00", "0.00"), "0.00")


def test_money_on_its_way_out_is_not_touched_by_a_chargeback(funded: Story) -> None:
    withdrawal = funded.withdraw("100.00")
    funded.charge_back(purchase_id="funding")
    assert (funded.money(), funded.owed()) == (("0.00", "100.00"), "100.00")
    funded.fail(withdrawal)
    assert (funded.money(), funded.owed()) == (("0.00", "0.00"), "0.00")


def test_a_chargeback_that_is_won_gives_the_money_and_the_status_back(paid: Story) -> None:
    paid.refund("50.00")
    paid.charge_back("200.00")
    assert only_deposit(paid) == "reversed"
    answer = paid.win_chargeback("200.00")
    assert (answer["outcome"], answer["code"]) == ("reinstated", None)
    assert only_deposit(paid) == "partially_refunded"
    assert paid.money() == ("200.00", "0.00")
    assert paid.win_chargeback("200.00") == answer
    assert paid.charge_back("200.00")["outcome"] == "charged_back"
    assert paid.money() == ("200.00", "0.00")


def test_a_purchase_can_be_charged_back_anew_after_a_chargeback_was_won(paid: Story) -> None:
    paid.charge_back()
    paid.win_chargeback()
    assert only_deposit(paid) == "completed"
    assert paid.charge_back(chargeback_id="c2")["outcome"] == "charged_back"
    assert only_deposit(paid) == "reversed"
    assert paid.money() == ("0.00", "0.00")


def test_a_deposit_stays_reversed_until_every_chargeback_is_won(paid: Story) -> None:
    paid.charge_back("100.00")
    paid.charge_back("150.00", chargeback_id="c2")
    paid.win_chargeback("100.00")
    assert only_deposit(paid) == "reversed"
    paid.win_chargeback("150.00", chargeback_id="c2")
    assert only_deposit(paid) == "completed"
    assert paid.money() == ("250.00", "0.00")


def test_a_refund_after_a_part_was_charged_back_leaves_the_deposit_reversed(paid: Story) -> None:
    paid.charge_back("100.00")
    assert paid.refund("150.00")["outcome"] == "refunded"
    assert only_deposit(paid) == "reversed"
    assert paid.money() == ("0.00", "0.00")
    paid.win_chargeback("100.00")
    assert only_deposit(paid) == "partially_refunded"


def test_the_end_of_a_chargeback_must_fit_its_beginning(paid: Story) -> None:
    paid.charge_back("100.00")
    assert paid.win_chargeback("99.00")["code"] == "amount_mismatch"
    paid.charge_back("100.00", chargeback_id="c2")
    answer = paid.win_chargeback("100.00", chargeback_id="c2", purchase_id="p9")
    assert (answer["outcome"], answer["code"]) == ("refused", "purchase_mismatch")
    assert paid.money() == ("50.00", "0.00")


def test_a_chargeback_that_was_refused_cannot_be_won(paid: Story) -> None:
    assert paid.charge_back("300.00")["outcome"] == "refused"
    answer = paid.win_chargeback("300.00")
    assert (answer["outcome"], answer["code"]) == ("refused", "chargeback_not_booked")


def test_money_in_suspense_goes_back_out_of_suspense(story: Story) -> None:
    deposit = story.deposit()
    story.pay(deposit.id, "249.00")
    assert story.status(deposit) == "review"
    assert story.refund("100.00")["outcome"] == "refunded"
    assert (story.suspense(), story.money()) == (Decimal("149.00"), ("0.00", "0.00"))
    assert story.status(deposit) == "review"
    story.refund("149.00", payment_id="r2")
    assert story.suspense() == 0
    stored = story.unit.transactions.stored[deposit.id]
    assert (stored.status.value, stored.reason_code) == ("failed", "money_returned")
    assert story.unit.operator_cases.count_open() == {}
    assert story.unit.announced().count("wallet.deposit.failed.v1") == 1


def test_the_order_of_refunds_and_chargebacks_changes_nothing() -> None:
    seen = set()
    for order in permutations(range(4)):
        story = Story()
        story.pay(story.deposit().id)
        steps = (
            partial(story.refund, "50.00"),
            partial(story.refund, "60.00", payment_id="r2"),
            partial(story.charge_back, "70.00"),
            partial(story.refund, "50.00"),
        )
        for number in order:
            steps[number]()
        seen.add((only_deposit(story), story.money(), story.owed()))
    assert seen == {("reversed", ("70.00", "0.00"), "0.00")}
