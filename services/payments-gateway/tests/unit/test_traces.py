"""Whoever moves a deposit or a withdrawal on, it goes on in the trace of who asked for it."""

import pytest

from octoco.context import WorkContext, caused_by, trace_id_of
from octoco.events import Event
from octoco.ids import new_id
from octoco.spans import span
from payments_gateway.domain.provider import PayoutState, PurchaseState
from payments_gateway.use_cases.receive_webhook import ReceiveWebhook

from .test_deposits import foreign_purchase
from .test_webhooks import body_of, payment_body, receive, show_back, sign
from .world import World

__all__ = ["receive"]  # the fixture

TRACE = "0af7651916cd43dd8448eb211c80319c"
ASKED = WorkContext("req_user", "msg_requested", f"00-{TRACE}-b7ad6b7169203331-01")


def _look_into(world: World, receive: ReceiveWebhook, body: bytes) -> str:
    """Take a webhook in and look into it, as web and worker do; return its delivery's id."""
    with span("POST /webhooks/revio", context=WorkContext("req_webhook")):
        receive(body, signature=sign(body))
    (kind, delivery_id), row = list(world.unit.intents.rows.items())[-1]
    assert kind == "process_webhook"
    with span("perform process_webhook", context=row.context):
        world.perform(kind, delivery_id)
    return delivery_id


def _last(world: World, event_type: str) -> Event:
    events = [stored.event for stored in world.unit.outbox.waiting.values()]
    return [event for event in events if event.type == event_type][-1]


def _assert_of_the_request(event: Event, *, because_of: str) -> None:
    assert event.traceparent is not None
    assert trace_id_of(event.traceparent) == TRACE
    assert (event.correlation_id, event.causation_id) == ("req_user", because_of)


@pytest.fixture
def purchase_id(world: World) -> str:
    with span("process wallet.deposit.requested.v1", context=ASKED):
        _, purchase_id = world.open_checkout()
    return purchase_id


@pytest.fixture
def payout_id(world: World) -> str:
    with span("process wallet.withdrawal.requested.v1", context=ASKED):
        _, payout_id = world.executed_payout()
    return payout_id


def test_a_webhook_that_pays_a_deposit_goes_on_in_the_deposits_trace(
    world: World, receive: ReceiveWebhook, purchase_id: str
) -> None:
    world.provider.show_purchase(purchase_id, PurchaseState.PAID)
    delivery_id = _look_into(world, receive, body_of("purchase.paid", purchase_id))
    _assert_of_the_request(_last(world, "payments.deposit.paid.v1"), because_of=delivery_id)
    repeat = world.unit.intents.rows["repeat_money_fact", f"purchase:{purchase_id}"]
    assert (repeat.context.correlation_id, repeat.context.causation_id) == ("req_user", delivery_id)
    assert trace_id_of(repeat.context.traceparent or "") == TRACE


def test_a_webhook_that_ends_a_withdrawal_goes_on_in_the_withdrawals_trace(
    world: World, receive: ReceiveWebhook, payout_id: str
) -> None:
    world.provider.show_payout(payout_id, PayoutState.SUCCEEDED)
    delivery_id = _look_into(world, receive, body_of("payout.success", payout_id))
    _assert_of_the_request(_last(world, "payments.payout.succeeded.v1"), because_of=delivery_id)


@pytest.mark.parametrize(
    ("event_type", "told"),
    [
        ("payment.refunded", "payments.refund.succeeded.v1"),
        ("payment.charged_back", "payments.chargeback.opened.v1"),
    ],
)
def test_money_that_goes_back_is_of_the_deposit_that_it_came_by(
    world: World, receive: ReceiveWebhook, purchase_id: str, event_type: str, told: str
) -> None:
    show_back(world, purchase_id, refundable="150.00")
    body = payment_body(purchase_id, event_type=event_type)
    delivery_id = _look_into(world, receive, body)
    _assert_of_the_request(_last(world, told), because_of=delivery_id)


def test_a_poll_that_was_begun_by_something_else_goes_on_in_the_deposits_trace(
    world: World, purchase_id: str
) -> None:
    world.provider.show_purchase(purchase_id, PurchaseState.PAID)
    with span("operator", context=WorkContext("req_operator")), caused_by("push_1"):
        world.perform("poll_purchase", purchase_id)
    _assert_of_the_request(_last(world, "payments.deposit.paid.v1"), because_of="push_1")


def test_what_is_of_nobody_stays_in_the_webhooks_own_trace(
    world: World, receive: ReceiveWebhook
) -> None:
    stranger = foreign_purchase(world, reference=new_id("txn"))
    world.provider.show_purchase(stranger, PurchaseState.PAID)
    delivery_id = _look_into(world, receive, body_of("purchase.paid", stranger))
    paid = _last(world, "payments.deposit.paid.v1")
    assert (paid.correlation_id, paid.causation_id) == ("req_webhook", delivery_id)
