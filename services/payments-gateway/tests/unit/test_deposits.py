"""Deposits at the gateway, on fakes: lost answers, late money, spares, wrong amounts."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from octoco.errors import TooEarly
from octoco.ids import new_id
from octoco.intents import Again, Done
from octoco.money import Money
from payments_gateway.domain.cases import CaseKind
from payments_gateway.domain.checkouts import CheckoutStatus
from payments_gateway.domain.provider import Merchant, PurchaseState
from payments_gateway.use_cases.record_purchase_reading import record_purchase_reading

from .world import OURS, R250, World

OPENED = "payments.checkout.opened.v1"
CLOSED = "payments.checkout.closed.v1"
PAID = "payments.deposit.paid.v1"
ATTEMPT_FAILED = "payments.checkout.attempt_failed.v1"


def test_a_requested_deposit_opens_a_checkout(world: World) -> None:
    transaction_id, purchase_id = world.open_checkout()
    (opened,) = world.said(OPENED)
    assert opened == {
        "transaction_id": transaction_id,
        "purchase_id": purchase_id,
        "checkout_url": f"https://checkout.example/p/{purchase_id}/",
        "expires_at": "2026-09-21T13:00:00Z",
    }


def test_a_request_for_an_unknown_user_waits_for_the_user() -> None:
    world = World()
    with pytest.raises(TooEarly):
        world.request_deposit()
    world.know_user()
    world.request_deposit()


def test_a_repeated_request_changes_nothing(world: World) -> None:
    transaction_id, _ = world.open_checkout()
    world.request_deposit(transaction_id=transaction_id)
    assert world.perform("create_purchase", transaction_id) == Done()
    assert len(world.provider.purchases) == 1
    assert world.said_types == [OPENED]


def test_a_payment_is_told_once_however_often_it_is_seen(world: World) -> None:
    transaction_id, purchase_id = world.open_checkout()
    fee = Money.parse("7.25", "ZAR")
    world.provider.show_purchase(purchase_id, PurchaseState.PAID, fee=fee)
    for _ in range(3):
        world.perform("poll_purchase", purchase_id)
    (fact,) = world.said(PAID)
    assert fact["fact_key"] == f"purchase:{purchase_id}"
    assert fact["transaction_id"] == transaction_id
    assert (fact["amount"], fact["fee_amount"]) == ("250.00", "7.25")
    assert world.checkout(transaction_id).status is CheckoutStatus.PAID


def test_a_refused_purchase_closes_the_checkout_as_failed(world: World) -> None:
    transaction_id = world.request_deposit()
    world.provider.refuse_with = "Invalid-Currency"
    assert world.perform("create_purchase", transaction_id) == Done()
    (closed,) = world.said(CLOSED)
    assert closed == {
        "transaction_id": transaction_id,
        "purchase_id": None,
        "status": "failed",
        "reason_code": "invalid_currency",
    }


def test_a_provider_that_is_down_delays_and_loses_nothing(world: World) -> None:
    transaction_id = world.request_deposit()
    world.provider.is_down = True
    for _ in range(3):
        assert isinstance(world.perform("create_purchase", transaction_id), Again)
    world.provider.is_down = False
    assert world.perform("create_purchase", transaction_id) == Done()
    assert world.said_types == [OPENED]


def test_a_lost_create_answer_leaves_a_spare_that_is_cancelled(world: World) -> None:
    transaction_id = world.request_deposit()
    world.provider.lost_answers = 1
    assert isinstance(world.perform("create_purchase", transaction_id), Again)
    assert world.perform("create_purchase", transaction_id) == Done()
    chosen = world.checkout(transaction_id).purchase_id
    (spare,) = set(world.provider.purchases) - {chosen}

    see(world, spare)
    assert world.perform("cancel_purchase", spare) == Done()

    assert world.provider.purchases[spare].state is PurchaseState.CANCELLED
    assert world.checkout(transaction_id).status is CheckoutStatus.OPEN
    assert world.said_types == [OPENED]
    assert world.unit.cases.kinds == []


def test_a_purchase_seen_before_its_create_answer_is_adopted(world: World) -> None:
    transaction_id = world.request_deposit()
    world.provider.lost_answers = 1
    world.perform("create_purchase", transaction_id)
    (purchase_id,) = world.provider.purchases

    see(world, purchase_id)

    assert world.checkout(transaction_id).purchase_id == purchase_id
    assert world.perform("create_purchase", transaction_id) == Done()
    assert len(world.provider.purchases) == 1
    assert world.said_types == [OPENED]


def test_a_process_that_dies_after_the_call_creates_one_more_and_uses_one(world: World) -> None:
    transaction_id = world.request_deposit()
    world.die_after_call("create_purchase", transaction_id)
    assert world.perform("create_purchase", transaction_id) == Done()
    assert len(world.provider.purchases) == 2
    assert len(world.said(OPENED)) == 1


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda found: replace(found, asked=Money.parse("2.50", "ZAR")), CaseKind.AMOUNT_DIFFERS),
        (lambda found: replace(found, asked=Money.parse("250", "USD")), CaseKind.AMOUNT_DIFFERS),
        (
            lambda found: replace(found, merchant=replace(OURS, is_test=False)),
            CaseKind.NOT_OUR_MERCHANT,
        ),
        (
            lambda found: replace(found, merchant=replace(OURS, brand_id="other")),
            CaseKind.NOT_OUR_MERCHANT,
        ),
    ],
)
def test_a_purchase_that_is_not_what_was_ordered_is_never_opened(
    world: World, spoil: Callable[..., object], reason: CaseKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction_id = world.request_deposit()
    create = world.provider.create_purchase
    monkeypatch.setattr(world.provider, "create_purchase", lambda order: spoil(create(order)))
    world.perform("create_purchase", transaction_id)
    (closed,) = world.said(CLOSED)
    assert (closed["status"], closed["reason_code"]) == ("failed", "provider_mismatch")
    assert world.unit.cases.kinds == [reason]
    (purchase_id,) = world.provider.purchases
    world.perform("cancel_purchase", purchase_id)
    assert world.provider.purchases[purchase_id].state is PurchaseState.CANCELLED


def test_failed_attempts_are_told_once_each_and_are_not_final(world: World) -> None:
    transaction_id, purchase_id = world.open_checkout()
    world.provider.fail_attempt(purchase_id, "validation_cvc_invalid")
    old = world.provider.read_purchase(purchase_id)
    assert old is not None
    world.perform("poll_purchase", purchase_id)
    world.provider.fail_attempt(purchase_id, "insufficient_funds")
    world.perform("poll_purchase", purchase_id)
    record(world, old)
    assert [said["reason_code"] for said in world.said(ATTEMPT_FAILED)] == [
        "validation_cvc_invalid",
        "insufficient_funds",
    ]
    world.provider.show_purchase(purchase_id, PurchaseState.PAID)
    world.perform("poll_purchase", purchase_id)
    assert world.checkout(transaction_id).status is CheckoutStatus.PAID


@pytest.mark.parametrize(
    "shown", [PurchaseState.PAYABLE, PurchaseState.UNDER_WAY, PurchaseState.UNKNOWN]
)
def test_states_without_money_leave_an_open_checkout_open(
    world: World, shown: PurchaseState
) -> None:
    transaction_id, purchase_id = world.open_checkout()
    world.provider.show_purchase(purchase_id, shown)
    assert isinstance(world.perform("poll_purchase", purchase_id), Again)
    assert world.checkout(transaction_id).status is CheckoutStatus.OPEN


@pytest.mark.parametrize(
    ("shown", "status", "reason"),
    [
        (PurchaseState.CANCELLED, "cancelled", "cancelled_at_provider"),
        (PurchaseState.BLOCKED, "failed", "blocked_by_provider"),
        (PurchaseState.EXPIRED, "expired", "checkout_expired"),
    ],
)
def test_an_end_closes_the_checkout_and_late_money_is_told_all_the_same(
    world: World, shown: PurchaseState, status: str, reason: str
) -> None:
    transaction_id, purchase_id = world.open_checkout()
    world.provider.show_purchase(purchase_id, shown)
    assert isinstance(world.perform("poll_purchase", purchase_id), Again)
    (closed,) = world.said(CLOSED)
    assert (closed["status"], closed["reason_code"]) == (status, reason)

    world.pass_time(hours=20)
    world.provider.show_purchase(purchase_id, PurchaseState.PAID)
    assert world.perform("poll_purchase", purchase_id) == Done()
    assert [fact["transaction_id"] for fact in world.said(PAID)] == [transaction_id]


def test_a_checkout_expires_by_our_own_clock_after_the_grace(world: World) -> None:
    transaction_id, purchase_id = world.open_checkout()
    world.pass_time(minutes=61)
    world.perform("poll_purchase", purchase_id)
    assert world.said(CLOSED) == []
    stale = world.provider.read_purchase(purchase_id)
    assert stale is not None
    world.pass_time(minutes=2)
    record(world, stale)
    assert world.said(CLOSED) == []
    world.perform("poll_purchase", purchase_id)
    assert [closed["status"] for closed in world.said(CLOSED)] == ["expired"]
    assert world.checkout(transaction_id).status is CheckoutStatus.EXPIRED


def test_the_watch_over_an_expired_purchase_ends(world: World) -> None:
    _, purchase_id = world.open_checkout()
    world.intent("poll_purchase", purchase_id)
    world.pass_time(days=4)
    assert world.perform("poll_purchase", purchase_id) == Done()


@pytest.mark.parametrize("state", [PurchaseState.PAID, PurchaseState.PAID_THEN_REVERSED])
def test_another_amount_is_told_as_it_came_in_and_opens_a_case(
    world: World, state: PurchaseState
) -> None:
    _, purchase_id = world.open_checkout()
    world.provider.show_purchase(purchase_id, state, paid=Money.parse("240.00", "ZAR"))
    world.perform("poll_purchase", purchase_id)
    assert [fact["amount"] for fact in world.said(PAID)] == ["240.00"]
    assert CaseKind.AMOUNT_DIFFERS in world.unit.cases.kinds


def test_a_purchase_called_paid_without_money_is_looked_at_again(world: World) -> None:
    transaction_id, purchase_id = world.open_checkout()
    shown = world.provider.show_purchase(purchase_id, PurchaseState.PAID)
    world.provider.purchases[purchase_id] = replace(shown, paid=None)
    assert isinstance(world.perform("poll_purchase", purchase_id), Again)
    assert world.checkout(transaction_id).status is CheckoutStatus.OPEN


def test_a_purchase_first_seen_refunded_was_paid_first(world: World) -> None:
    transaction_id, purchase_id = world.open_checkout()
    world.provider.show_purchase(purchase_id, PurchaseState.PAID_THEN_REVERSED)
    world.perform("poll_purchase", purchase_id)
    assert [fact["transaction_id"] for fact in world.said(PAID)] == [transaction_id]
    assert world.unit.cases.kinds == [CaseKind.PURCHASE_REVERSED]


def test_a_reading_from_before_the_payment_changes_nothing_after_it(world: World) -> None:
    transaction_id, purchase_id = world.open_checkout()
    old = world.provider.show_purchase(purchase_id, PurchaseState.CANCELLED)
    world.pass_time(seconds=5)
    world.provider.show_purchase(purchase_id, PurchaseState.PAID)
    world.perform("poll_purchase", purchase_id)
    record(world, old)
    assert world.checkout(transaction_id).status is CheckoutStatus.PAID
    assert world.said_types == [OPENED, PAID]


@pytest.mark.parametrize("paid", [False, True])
def test_a_purchase_of_nobody_opens_a_case_and_its_money_goes_to_suspense(
    world: World, *, paid: bool
) -> None:
    order_reference = new_id("txn")
    foreign = foreign_purchase(world, reference=order_reference)
    if paid:
        world.provider.show_purchase(foreign, PurchaseState.PAID)
    see(world, foreign)
    assert world.unit.cases.kinds == [CaseKind.UNKNOWN_PURCHASE]
    assert [fact["transaction_id"] for fact in world.said(PAID)] == ([None] if paid else [])
    # It is watched, so that money which comes without a webhook is found as well.
    world.provider.show_purchase(foreign, PurchaseState.PAID)
    world.perform("poll_purchase", foreign)
    assert [fact["transaction_id"] for fact in world.said(PAID)] == [None]


def test_our_reference_with_another_amount_is_nobodys(world: World) -> None:
    transaction_id, _ = world.open_checkout()
    other = foreign_purchase(world, reference=transaction_id, money=Money.parse("1.00", "ZAR"))
    world.provider.show_purchase(other, PurchaseState.PAID)
    see(world, other)
    assert [fact["transaction_id"] for fact in world.said(PAID)] == [None]
    assert world.checkout(transaction_id).status is CheckoutStatus.OPEN


@pytest.mark.parametrize(
    "merchant",
    [
        replace(OURS, is_test=False),
        replace(OURS, company_id="another"),
        replace(OURS, brand_id="another"),
    ],
)
def test_an_object_of_another_merchant_or_mode_is_a_case_and_no_fact(
    world: World, merchant: Merchant
) -> None:
    transaction_id, purchase_id = world.open_checkout()
    shown = world.provider.show_purchase(purchase_id, PurchaseState.PAID)
    world.provider.purchases[purchase_id] = replace(shown, merchant=merchant)
    world.perform("poll_purchase", purchase_id)
    assert world.said(PAID) == []
    assert world.unit.cases.kinds == [CaseKind.NOT_OUR_MERCHANT]
    assert world.checkout(transaction_id).status is CheckoutStatus.OPEN


def test_a_deposit_paid_by_two_purchases_is_told_twice_and_opens_a_case(world: World) -> None:
    transaction_id, purchase_id = world.open_checkout()
    spare = foreign_purchase(world, reference=transaction_id)
    for paid in (purchase_id, spare):
        world.provider.show_purchase(paid, PurchaseState.PAID)
        see(world, paid)
        see(world, paid)
    assert [fact["fact_key"] for fact in world.said(PAID)] == [
        f"purchase:{purchase_id}",
        f"purchase:{spare}",
    ]
    assert world.unit.cases.kinds == [CaseKind.PAID_TWICE]


def test_the_other_purchase_is_cancelled_when_a_spare_is_paid(world: World) -> None:
    transaction_id, purchase_id = world.open_checkout()
    spare = foreign_purchase(world, reference=transaction_id)
    world.provider.show_purchase(spare, PurchaseState.PAID)
    see(world, spare)
    world.perform("cancel_purchase", purchase_id)
    assert world.provider.purchases[purchase_id].state is PurchaseState.CANCELLED
    assert world.said(CLOSED) == []


def test_a_deposit_cancelled_before_any_purchase_never_reaches_the_provider(world: World) -> None:
    transaction_id = world.request_deposit()
    world.cancel_deposit(transaction_id)
    assert world.perform("create_purchase", transaction_id) == Done()
    assert world.provider.purchases == {}
    assert [closed["status"] for closed in world.said(CLOSED)] == ["cancelled"]


def test_a_cancellation_that_overtakes_its_deposit_closes_it_on_arrival(world: World) -> None:
    transaction_id = new_id("txn")
    world.cancel_deposit(transaction_id)
    world.request_deposit(transaction_id=transaction_id)
    assert ("create_purchase", transaction_id) not in world.unit.intents.stored
    assert [closed["reason_code"] for closed in world.said(CLOSED)] == ["cancelled_by_user"]


def test_a_deposit_cancelled_while_its_purchase_is_being_created_leaves_a_spare(
    world: World,
) -> None:
    transaction_id = world.request_deposit()
    handler = world.handlers["create_purchase"]
    intent = world.intent("create_purchase", transaction_id)
    prepared = handler.prepare(world.unit, intent)
    answer = handler.call(prepared)
    world.cancel_deposit(transaction_id)
    handler.record(world.unit, intent, prepared=prepared, answer=answer)
    (purchase_id,) = world.provider.purchases
    assert world.perform("cancel_purchase", purchase_id) == Done()
    assert world.said_types == [CLOSED]


def test_an_open_checkout_is_cancelled_at_the_provider_first(world: World) -> None:
    transaction_id, purchase_id = world.open_checkout()
    world.cancel_deposit(transaction_id)
    assert world.said(CLOSED) == []
    world.provider.lost_answers = 1
    assert isinstance(world.perform("cancel_purchase", purchase_id), Again)
    assert world.perform("cancel_purchase", purchase_id) == Done()
    (closed,) = world.said(CLOSED)
    assert (closed["status"], closed["reason_code"]) == ("cancelled", "cancelled_by_user")


def test_money_that_was_quicker_than_the_cancellation_stays_in(world: World) -> None:
    transaction_id, purchase_id = world.open_checkout()
    world.cancel_deposit(transaction_id)
    world.provider.show_purchase(purchase_id, PurchaseState.PAID)
    assert world.perform("cancel_purchase", purchase_id) == Done()
    assert world.said_types == [OPENED, PAID]


def test_a_cancellation_waits_for_a_payment_that_is_under_way(world: World) -> None:
    transaction_id, purchase_id = world.open_checkout()
    world.cancel_deposit(transaction_id)
    world.provider.show_purchase(purchase_id, PurchaseState.UNDER_WAY)
    assert isinstance(world.perform("cancel_purchase", purchase_id), Again)
    assert world.said(CLOSED) == []


def test_another_users_cancellation_changes_nothing(world: World) -> None:
    transaction_id, _ = world.open_checkout()
    owner, world.user_id = world.user_id, new_id("usr")
    world.cancel_deposit(transaction_id)
    world.user_id = owner
    assert world.checkout(transaction_id).cancel_requested_at is None


def see(world: World, purchase_id: str) -> None:
    reading = world.provider.read_purchase(purchase_id)
    assert reading is not None
    record(world, reading)


def record(world: World, reading: object) -> None:
    world.units.run(
        lambda unit: record_purchase_reading(
            unit,
            reading,  # type: ignore[arg-type]
            ours=OURS,
            policy=world.policy,
            now=world.clock.now(),
        )
    )


def foreign_purchase(world: World, *, reference: str, money: Money = R250) -> str:
    """Let a purchase be at the provider that the gateway has never heard of."""
    before = set(world.provider.purchases)
    transaction_id = world.request_deposit(money)
    handler = world.handlers["create_purchase"]
    order = handler.prepare(world.unit, world.intent("create_purchase", transaction_id))
    assert order is not None
    world.provider.create_purchase(replace(order, reference=reference))
    (made,) = set(world.provider.purchases) - before
    return made
