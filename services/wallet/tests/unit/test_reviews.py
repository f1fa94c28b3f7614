"""Withdrawals in review, and users who are frozen: on fakes."""

from collections.abc import Callable
from datetime import timedelta
from itertools import permutations

import pytest

from octoco.ids import new_id
from wallet.domain.errors import (
    BankAccountNotVerified,
    OwnWithdrawal,
    ReasonMissing,
    TransactionNotFound,
    UserFrozen,
    WithdrawalNotInReview,
)
from wallet.domain.operator_decisions import DecisionAction
from wallet.domain.transactions import Transaction
from wallet.use_cases.find_overdue_sagas import find_overdue_sagas
from wallet.use_cases.review_withdrawal import (
    approve_withdrawal,
    list_reviews,
    refuse_withdrawal,
)

from .story import NOW, Story

OPERATOR = "usr_operator"
Decide = Callable[..., Transaction]


@pytest.fixture
def rich(funded: Story) -> Story:
    funded.pay(funded.deposit("1000.00").id, "1000.00", purchase_id="more")
    funded.unit.outbox.messages.clear()
    return funded


def decide(
    story: Story, use_case: Decide, withdrawal: Transaction, *, operator_id: str = OPERATOR
) -> Transaction:
    return story.units.run(
        lambda unit: use_case(
            unit,
            transaction_id=withdrawal.id,
            operator_id=operator_id,
            reason="papers seen",
            at=story.clock.now(),
        )
    )


def test_a_large_withdrawal_waits_with_its_money_held_and_the_gateway_is_told_nothing(
    rich: Story,
) -> None:
    withdrawal = rich.withdraw("450.00")
    assert rich.status(withdrawal) == "review"
    assert rich.money() == ("800.00", "450.00")
    assert rich.unit.announced() == []
    page, more = list_reviews(rich.unit, after_id=None, limit=10)
    assert ([one.withdrawal.id for one in page], more) == ([withdrawal.id], None)


def test_an_approved_one_goes_on_like_any_other_and_is_not_counted_again(rich: Story) -> None:
    withdrawal = rich.withdraw("450.00")
    for _ in range(2):
        decide(rich, approve_withdrawal, withdrawal)
    assert rich.status(withdrawal) == "pending"
    assert rich.unit.announced() == ["wallet.withdrawal.requested.v1"]
    assert [one.action for one in rich.unit.operator_decisions.made] == [
        DecisionAction.WITHDRAWAL_APPROVED
    ]
    assert rich.causes(withdrawal) == ["requested", "approved_in_review"]
    rich.withdraw("350.00")
    rich.accept(withdrawal)
    rich.succeed(withdrawal, "450.00")
    assert decide(rich, approve_withdrawal, withdrawal).status.value == "completed"
    assert rich.money() == ("450.00", "350.00")


def test_a_refused_one_gives_its_money_back_once_and_tells_the_user(rich: Story) -> None:
    withdrawal = rich.withdraw("450.00")
    for _ in range(2):
        decide(rich, refuse_withdrawal, withdrawal)
    assert rich.status(withdrawal) == "failed"
    assert rich.money() == ("1250.00", "0.00")
    assert rich.unit.announced() == ["wallet.withdrawal.failed.v1"]
    assert rich.unit.transactions.stored[withdrawal.id].reason_code == "refused_in_review"
    assert len(rich.unit.operator_decisions.made) == 1


def test_its_user_may_cancel_one_in_review_at_once(rich: Story) -> None:
    withdrawal = rich.withdraw("450.00")
    for _ in range(2):
        rich.cancel_in_review(withdrawal)
    assert rich.status(withdrawal) == "cancelled"
    assert rich.money() == ("1250.00", "0.00")
    assert rich.unit.announced() == ["wallet.withdrawal.failed.v1"]


def test_whatever_comes_first_decides(rich: Story) -> None:
    for first, second in permutations((approve_withdrawal, refuse_withdrawal), 2):
        withdrawal = rich.withdraw("401.00")
        decide(rich, first, withdrawal)
        with pytest.raises(WithdrawalNotInReview):
            decide(rich, second, withdrawal)
        if rich.status(withdrawal) == "pending":
            rich.fail(withdrawal, "401.00")
    cancelled = rich.withdraw("401.00")
    rich.cancel_in_review(cancelled)
    for use_case in (approve_withdrawal, refuse_withdrawal):
        with pytest.raises(WithdrawalNotInReview):
            decide(rich, use_case, cancelled)
    small = rich.withdraw("1.00")
    with pytest.raises(WithdrawalNotInReview):
        decide(rich, approve_withdrawal, small)


@pytest.mark.parametrize("use_case", [approve_withdrawal, refuse_withdrawal])
def test_nobody_decides_about_their_own_or_about_nothing_or_without_a_reason(
    rich: Story, use_case: Decide
) -> None:
    withdrawal = rich.withdraw("450.00")
    with pytest.raises(OwnWithdrawal):
        decide(rich, use_case, withdrawal, operator_id=rich.user_id)
    with pytest.raises(TransactionNotFound):
        decide(rich, use_case, rich.deposit())
    with pytest.raises(ReasonMissing):
        use_case(rich.unit, transaction_id="t", operator_id="o", reason=" ", at=NOW)
    withdrawal.id = new_id("txn")
    with pytest.raises(TransactionNotFound):
        decide(rich, use_case, withdrawal)
    assert rich.unit.operator_decisions.made == []


def test_one_to_a_removed_bank_account_cannot_be_approved_and_can_be_refused(rich: Story) -> None:
    withdrawal = rich.withdraw("450.00")
    rich.remove_bank_account()
    with pytest.raises(BankAccountNotVerified):
        decide(rich, approve_withdrawal, withdrawal)
    decide(rich, refuse_withdrawal, withdrawal)
    assert rich.money() == ("1250.00", "0.00")


def test_a_review_past_its_deadline_rings_and_stays(rich: Story) -> None:
    withdrawal = rich.withdraw("450.00")
    rich.clock.advance(timedelta(hours=25))
    (overdue,) = find_overdue_sagas(rich.unit, at=rich.clock.now(), limit=10)
    assert (overdue.transaction_id, overdue.step) == (withdrawal.id, "review")
    assert rich.money() == ("800.00", "450.00")


def test_reviews_come_in_pages_oldest_first(rich: Story) -> None:
    made = []
    for _ in range(3):
        made.append(rich.withdraw("401.00").id)
        rich.clock.advance(timedelta(days=1))
    seen: list[str] = []
    after_id = None
    for _ in range(2):
        page, after_id = list_reviews(rich.unit, after_id=after_id, limit=2)
        seen += [one.withdrawal.id for one in page]
    assert (seen, after_id) == (sorted(made), None)


def test_a_frozen_user_starts_nothing_and_is_still_credited(rich: Story) -> None:
    deposit = rich.deposit("250.00")
    rich.freeze()
    for start in (rich.deposit, rich.withdraw):
        with pytest.raises(UserFrozen):
            start()
    rich.pay(deposit.id, purchase_id="late")
    assert rich.money() == ("1500.00", "0.00")
    rich.unfreeze()
    rich.withdraw()


def test_a_freeze_asks_for_what_has_not_begun_to_be_stopped(rich: Story) -> None:
    pending, begun, reviewed = (
        rich.withdraw("10.00"),
        rich.withdraw("20.00"),
        rich.withdraw("401.00"),
    )
    rich.accept(begun)
    rich.unit.outbox.messages.clear()
    for _ in range(2):
        rich.freeze()
    assert rich.unit.announced() == ["wallet.withdrawal.cancel_requested.v1"]
    assert [rich.status(one) for one in (pending, begun, reviewed)] == [
        "pending",
        "processing",
        "review",
    ]
    with pytest.raises(UserFrozen):
        decide(rich, approve_withdrawal, reviewed)
    rich.cancelled(pending)
    assert rich.status(pending) == "cancelled"
    assert rich.unit.transactions.stored[pending.id].reason_code == "user_frozen"
    rich.unfreeze()
    decide(rich, approve_withdrawal, reviewed)
    assert rich.status(reviewed) == "pending"


def test_one_that_could_not_be_stopped_any_more_is_settled_though_its_user_is_frozen(
    rich: Story,
) -> None:
    withdrawal = rich.withdraw("10.00")
    rich.freeze()
    rich.succeed(withdrawal, "10.00")
    assert rich.status(withdrawal) == "completed"
    assert rich.unit.transactions.stored[withdrawal.id].reason_code is None


def test_freezes_and_their_ends_count_by_their_instants_in_whatever_order_they_come() -> None:
    news = {
        "frozen": ("2026-11-22T12:00:00Z", Story.freeze),
        "unfrozen": ("2026-11-22T12:00:01Z", Story.unfreeze),
        "frozen again": ("2026-11-22T12:00:02Z", Story.freeze),
    }
    for until in (2, 3):
        for order in permutations(list(news)[:until]):
            story = Story()
            for name in (*order, *order):
                at, tell = news[name]
                tell(story, at=at)
            known = story.unit.users.lock(story.user_id)
            assert known is not None
            assert known.is_frozen == (until == 3), order


def test_a_freeze_that_comes_after_its_end_asks_for_nothing_to_be_stopped(rich: Story) -> None:
    rich.withdraw("10.00")
    rich.unit.outbox.messages.clear()
    rich.unfreeze(at="2026-11-22T12:00:01Z")
    rich.freeze(at="2026-11-22T12:00:00Z")
    assert rich.unit.announced() == []


def test_a_user_may_be_frozen_before_anything_else_is_heard_of_them(story: Story) -> None:
    story.user_id = new_id("usr")
    story.freeze()
    with pytest.raises(UserFrozen):
        story.deposit()


@pytest.mark.parametrize("use_case", [approve_withdrawal, refuse_withdrawal])
def test_a_frozen_operator_decides_about_no_withdrawal(rich: Story, use_case: Decide) -> None:
    withdrawal = rich.withdraw("450.00")
    rich.deliver("accounts.user.frozen.v1", user_id=OPERATOR, frozen_at="2026-11-22T12:00:00Z")
    with pytest.raises(UserFrozen):
        decide(rich, use_case, withdrawal)
    assert rich.status(withdrawal) == "review"
    assert rich.unit.operator_decisions.made == []
