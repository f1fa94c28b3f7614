"""Whoever moves a transaction on, it goes on in the trace of the request that began it."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from octoco.context import WorkContext, trace_id_of
from octoco.events import Event
from octoco.spans import span
from wallet.domain.transactions import Transaction
from wallet.use_cases.assign_suspense import assign_suspense
from wallet.use_cases.cancel_deposit import cancel_deposit
from wallet.use_cases.cancel_withdrawal import request_withdrawal_cancel
from wallet.use_cases.find_overdue_sagas import find_overdue_sagas
from wallet.use_cases.review_withdrawal import approve_withdrawal, refuse_withdrawal

from .story import NOW, Story

TRACE = "0af7651916cd43dd8448eb211c80319c"
ASKED = WorkContext("req_user", traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
OTHER = WorkContext("req_other")
Move = Callable[[Story, Transaction], object]


def _last(story: Story) -> Event:
    return list(story.unit.outbox.waiting.values())[-1].event


def _cancel_deposit(story: Story, deposit: Transaction) -> object:
    return story.units.run(
        lambda unit: cancel_deposit(unit, user_id=story.user_id, transaction_id=deposit.id, at=NOW)
    )


def _assign(story: Story, deposit: Transaction) -> object:
    story.pay(None)
    return story.units.run(
        lambda unit: assign_suspense(
            unit,
            operator_id="usr_operator",
            purchase_id="p1",
            user_id=story.user_id,
            transaction_id=deposit.id,
            reason="papers seen",
            at=NOW,
        )
    )


def _assign_to_nothing(story: Story, deposit: Transaction) -> object:
    story.pay(deposit.id, "249.00")
    return story.units.run(
        lambda unit: assign_suspense(
            unit,
            operator_id="usr_operator",
            purchase_id="p1",
            user_id=story.user_id,
            transaction_id=None,
            reason="papers seen",
            at=NOW,
        )
    )


def _cancel_withdrawal(story: Story, withdrawal: Transaction) -> object:
    return story.units.run(
        lambda unit: request_withdrawal_cancel(
            unit, user_id=story.user_id, transaction_id=withdrawal.id, at=NOW
        )
    )


def _decide(use_case: Callable[..., Transaction]) -> Move:
    def move(story: Story, withdrawal: Transaction) -> object:
        return story.units.run(
            lambda unit: use_case(
                unit,
                transaction_id=withdrawal.id,
                operator_id="usr_operator",
                reason="papers seen",
                at=NOW,
            )
        )

    return move


def _assert_goes_on(event: Event, event_type: str, *, because_of: str) -> None:
    assert event.type == event_type
    assert event.correlation_id == "req_user"
    assert event.causation_id == because_of
    assert trace_id_of(event.traceparent or "") == TRACE


@pytest.mark.parametrize(
    ("move", "announced"),
    [
        (_cancel_deposit, "wallet.deposit.cancel_requested.v1"),
        (_assign, "wallet.deposit.completed.v1"),
        (_assign_to_nothing, "wallet.deposit.failed.v1"),
    ],
)
def test_a_deposit_goes_on_in_its_own_trace(story: Story, move: Move, announced: str) -> None:
    with span("POST /v1/deposits", context=ASKED):
        deposit = story.deposit()
    with span("another request", context=OTHER):
        move(story, deposit)
    _assert_goes_on(_last(story), announced, because_of="req_other")


@pytest.mark.parametrize(
    ("amount", "move", "announced"),
    [
        ("100.00", _cancel_withdrawal, "wallet.withdrawal.cancel_requested.v1"),
        ("450.00", _cancel_withdrawal, "wallet.withdrawal.failed.v1"),
        ("450.00", _decide(approve_withdrawal), "wallet.withdrawal.requested.v1"),
        ("450.00", _decide(refuse_withdrawal), "wallet.withdrawal.failed.v1"),
    ],
)
def test_a_withdrawal_goes_on_in_its_own_trace(
    funded: Story, amount: str, move: Move, announced: str
) -> None:
    funded.pay(funded.deposit("1000.00").id, "1000.00", purchase_id="more")
    with span("POST /v1/withdrawals", context=ASKED):
        withdrawal = funded.withdraw(amount)
    with span("another request", context=OTHER):
        move(funded, withdrawal)
    _assert_goes_on(_last(funded), announced, because_of="req_other")


def test_a_freeze_asks_for_each_withdrawal_in_its_own_trace(funded: Story) -> None:
    with span("POST /v1/withdrawals", context=ASKED):
        funded.withdraw()
    with span("process accounts.user.frozen.v1", context=WorkContext("req_other", "msg_frozen")):
        funded.freeze()
    _assert_goes_on(_last(funded), "wallet.withdrawal.cancel_requested.v1", because_of="msg_frozen")


def test_an_overdue_saga_is_found_with_the_work_that_began_it(story: Story) -> None:
    with span("POST /v1/deposits", context=ASKED):
        story.deposit()
    later = NOW + timedelta(days=1)
    (overdue,) = find_overdue_sagas(story.unit, at=later, limit=10)
    assert overdue.origin is not None
    assert overdue.origin.correlation_id == "req_user"
    assert trace_id_of(overdue.origin.traceparent or "") == TRACE
