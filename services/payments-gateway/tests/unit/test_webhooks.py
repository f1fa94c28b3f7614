"""Webhooks at the gateway, on fakes: who signed decides, and the body moves nothing."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from octoco.errors import Unavailable
from octoco.intents import Again, Done
from octoco.money import Money
from payments_gateway.adapters.revio.webhook_format import RevioWebhookFormat
from payments_gateway.domain.cases import CaseKind
from payments_gateway.domain.checkouts import CheckoutStatus
from payments_gateway.domain.errors import SignatureInvalid, SignatureMissing
from payments_gateway.domain.provider import PayoutState, PurchaseState
from payments_gateway.use_cases.process_webhook import CLAIM_ATTEMPTS_MAX
from payments_gateway.use_cases.receive_webhook import ReceiveWebhook
from payments_gateway.use_cases.register_webhook import RegisterWebhook

from .world import World

CALLBACK = "https://wallet.example/webhooks/revio"
PAID = "payments.deposit.paid.v1"
OUR_KEY = generate_private_key(public_exponent=65537, key_size=2048)
FOREIGN_KEY = generate_private_key(public_exponent=65537, key_size=2048)


def pem_of(key: RSAPrivateKey) -> str:
    public = key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def sign(body: bytes, key: RSAPrivateKey = OUR_KEY) -> str:
    return base64.b64encode(key.sign(body, PKCS1v15(), SHA256())).decode()


def body_of(event_type: str, object_id: str, **fields: Any) -> bytes:
    kind = event_type.partition(".")[0]
    return json.dumps({"event_type": event_type, "id": object_id, "type": kind, **fields}).encode()


@pytest.fixture
def receive(world: World) -> ReceiveWebhook:
    world.provider.public_key_pem = pem_of(OUR_KEY)
    RegisterWebhook(
        units=world.units, provider=world.provider, callback_url=CALLBACK, clock=world.clock
    )()
    return ReceiveWebhook(
        units=world.units,
        provider=world.provider,
        webhook_format=RevioWebhookFormat(),
        callback_url=CALLBACK,
        clock=world.clock,
    )


def deliver(world: World, receive: ReceiveWebhook, body: bytes) -> str:
    """Deliver an authentic webhook and look into it, as the worker does."""
    result = receive(body, signature=sign(body))
    for kind, subject_id in list(world.unit.intents.stored):
        if kind == "process_webhook":
            world.perform(kind, subject_id)
    return result


@pytest.mark.parametrize("order", ["once", "twice", "reversed", "stale after"])
def test_a_paid_purchase_is_told_once_whatever_the_order_of_its_events(
    world: World, receive: ReceiveWebhook, order: str
) -> None:
    transaction_id, purchase_id = world.open_checkout()
    viewed = body_of("purchase.viewed", purchase_id, status="viewed")
    paid = body_of("purchase.paid", purchase_id, status="paid")
    settled = body_of("purchase.settled", purchase_id, status="paid")
    world.provider.show_purchase(purchase_id, PurchaseState.PAID)
    bodies = {
        "once": [paid],
        "twice": [paid, paid, settled, settled],
        "reversed": [settled, paid, viewed],
        "stale after": [paid, viewed, paid],
    }[order]
    for body in bodies:
        deliver(world, receive, body)
    assert [fact["transaction_id"] for fact in world.said(PAID)] == [transaction_id]


def test_the_same_bytes_are_stored_once_and_answered_each_time(
    world: World, receive: ReceiveWebhook
) -> None:
    _, purchase_id = world.open_checkout()
    body = body_of("purchase.viewed", purchase_id)
    assert [deliver(world, receive, body) for _ in range(3)] == ["stored", "repeated", "repeated"]
    assert len(world.unit.deliveries.stored) == 1


def test_a_body_that_says_paid_moves_nothing_while_the_purchase_is_not(
    world: World, receive: ReceiveWebhook
) -> None:
    transaction_id, purchase_id = world.open_checkout()
    body = body_of("purchase.paid", purchase_id, status="paid", payment={"amount": 25000})
    receive(body, signature=sign(body))
    ((_, delivery_id),) = [key for key in world.unit.intents.stored if key[0] == "process_webhook"]
    for _ in range(5):
        assert isinstance(world.perform("process_webhook", delivery_id), Again)
    assert world.perform("process_webhook", delivery_id) == Done()
    assert world.said(PAID) == []
    assert world.checkout(transaction_id).status is CheckoutStatus.OPEN


def test_a_reading_that_lags_behind_its_event_is_repeated(
    world: World, receive: ReceiveWebhook
) -> None:
    _, purchase_id = world.open_checkout()
    body = body_of("purchase.paid", purchase_id)
    receive(body, signature=sign(body))
    ((_, delivery_id),) = [key for key in world.unit.intents.stored if key[0] == "process_webhook"]
    assert isinstance(world.perform("process_webhook", delivery_id), Again)
    world.provider.show_purchase(purchase_id, PurchaseState.PAID)
    assert world.perform("process_webhook", delivery_id) == Done()
    assert len(world.said(PAID)) == 1


def test_an_object_that_the_provider_does_not_show_opens_a_case(
    world: World, receive: ReceiveWebhook
) -> None:
    assert deliver(world, receive, body_of("purchase.paid", "nobody-knows")) == "stored"
    assert world.unit.cases.kinds == [CaseKind.OBJECT_NOT_FOUND]


def test_a_refund_event_tells_the_payment_first_and_opens_a_case(
    world: World, receive: ReceiveWebhook
) -> None:
    transaction_id, purchase_id = world.open_checkout()
    world.provider.show_purchase(purchase_id, PurchaseState.PAID_THEN_REVERSED)
    related = {"type": "purchase", "id": purchase_id, "reference": "RV1"}
    deliver(world, receive, body_of("payment.refunded", "payment-1", related_to=related))
    assert [fact["transaction_id"] for fact in world.said(PAID)] == [transaction_id]
    subjects = {subject for _, subject in world.unit.cases.stored}
    assert subjects == {purchase_id, "payment-1"}


REFUNDED = "payments.refund.succeeded.v1"
CHARGED_BACK = "payments.chargeback.opened.v1"


def payment_body(
    purchase_id: str,
    payment_id: str = "payment-1",
    *,
    event_type: str = "payment.refunded",
    amount: object = 10000,
    currency: str = "ZAR",
    status: str = "success",
) -> bytes:
    return body_of(
        event_type,
        payment_id,
        status=status,
        payment={"amount": amount, "currency": currency, "paid_on": 1790050000},
        related_to={"type": "purchase", "id": purchase_id, "reference": "RV1"},
    )


def show_back(world: World, purchase_id: str, *, refundable: str) -> None:
    world.provider.show_purchase(
        purchase_id,
        PurchaseState.PAID_THEN_REVERSED,
        refundable=Money.parse(refundable, "ZAR"),
    )


@pytest.mark.parametrize(
    ("event_type", "told", "key"),
    [
        ("payment.refunded", REFUNDED, "refund:payment-1"),
        ("payment.charged_back", CHARGED_BACK, "chargeback:payment-1"),
    ],
)
def test_money_that_its_purchase_shows_to_be_gone_is_told_once_for_its_payment(
    world: World, receive: ReceiveWebhook, event_type: str, told: str, key: str
) -> None:
    transaction_id, purchase_id = world.open_checkout()
    show_back(world, purchase_id, refundable="150.00")
    for status in ("success", "success", "success"):
        deliver(world, receive, payment_body(purchase_id, event_type=event_type, status=status))
    deliver(world, receive, payment_body(purchase_id, event_type=event_type) + b" ")
    (fact,) = world.said(told)
    assert (fact["fact_key"], fact["purchase_id"]) == (key, purchase_id)
    assert (fact["transaction_id"], fact["amount"]) == (transaction_id, "100.00")
    assert world.said_types.index(PAID) < world.said_types.index(told)
    assert {subject for _, subject in world.unit.cases.stored} == {purchase_id}


def test_no_more_is_told_than_its_purchase_shows_to_be_gone(
    world: World, receive: ReceiveWebhook
) -> None:
    _, purchase_id = world.open_checkout()
    show_back(world, purchase_id, refundable="100.00")
    for payment_id in ("payment-1", "payment-2"):
        deliver(world, receive, payment_body(purchase_id, payment_id))
    assert len(world.said(REFUNDED)) == 1
    show_back(world, purchase_id, refundable="50.00")
    deliver(world, receive, b"{}")
    assert [fact["payment_id"] for fact in world.said(REFUNDED)] == ["payment-1", "payment-2"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 25001},
        {"amount": -1},
        {"amount": 0},
        {"amount": "100"},
        {"amount": True},
        {"currency": "USD"},
        {"currency": "???"},
        {"status": "error"},
        {"event_type": "payment.chargeback_reversed"},
    ],
    ids=str,
)
def test_what_a_purchase_does_not_confirm_is_left_to_a_person(
    world: World, receive: ReceiveWebhook, wrong: dict[str, Any]
) -> None:
    _, purchase_id = world.open_checkout()
    show_back(world, purchase_id, refundable="0.00")
    deliver(world, receive, payment_body(purchase_id, **wrong))
    for _ in range(CLAIM_ATTEMPTS_MAX):
        deliver(world, receive, b"{}")
    assert world.said(REFUNDED) == world.said(CHARGED_BACK) == []
    assert "payment-1" in {subject for _, subject in world.unit.cases.stored}


def test_a_refund_is_looked_at_again_until_its_purchase_shows_it(
    world: World, receive: ReceiveWebhook
) -> None:
    _, purchase_id = world.open_checkout()
    world.provider.show_purchase(purchase_id, PurchaseState.PAID)
    deliver(world, receive, payment_body(purchase_id))
    assert world.said(REFUNDED) == []
    assert world.unit.cases.stored == {}
    show_back(world, purchase_id, refundable="150.00")
    deliver(world, receive, b"{}")
    assert len(world.said(REFUNDED)) == 1


def test_a_payout_event_settles_the_payout(world: World, receive: ReceiveWebhook) -> None:
    _, payout_id = world.executed_payout()
    world.provider.show_payout(payout_id, PayoutState.SUCCEEDED)
    deliver(world, receive, body_of("payout.success", payout_id))
    assert len(world.said("payments.payout.succeeded.v1")) == 1


def test_events_that_concern_nothing_of_ours_are_kept_and_left_alone(
    world: World, receive: ReceiveWebhook
) -> None:
    event = "billing_template_client.subscription_billing_cancelled"
    deliver(world, receive, body_of(event, "template-1"))
    (delivery,) = world.unit.deliveries.stored.values()
    assert delivery.outcome == "uninteresting"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"id": 1}', b'{"event_type": "x.y"}', b"\xff"]
)
def test_an_authentic_body_that_cannot_be_read_is_kept_with_a_case(
    world: World, receive: ReceiveWebhook, body: bytes
) -> None:
    assert receive(body, signature=sign(body)) == "stored"
    assert world.unit.cases.kinds == [CaseKind.WEBHOOK_UNREADABLE]


def signature_of_another_body(_: bytes) -> str:
    return sign(b"{}")


@pytest.mark.parametrize(
    "forge",
    [
        lambda body: sign(body, FOREIGN_KEY),
        signature_of_another_body,
        lambda _: "not base64 !!",
        lambda _: base64.b64encode(b"short").decode(),
        lambda body: "sha256=" + sign(body),
    ],
)
def test_a_signature_that_is_not_ours_is_refused_and_has_no_effect(
    world: World, receive: ReceiveWebhook, forge: Callable[[bytes], str]
) -> None:
    _, purchase_id = world.open_checkout()
    world.provider.show_purchase(purchase_id, PurchaseState.PAID)
    body = body_of("purchase.paid", purchase_id)
    with pytest.raises(SignatureInvalid):
        receive(body, signature=forge(body))
    assert world.unit.deliveries.stored == {}
    assert len(world.unit.deliveries.refused) == 1
    assert world.said(PAID) == []


@pytest.mark.parametrize("signature", [None, ""])
def test_a_webhook_without_signature_is_refused(
    world: World, receive: ReceiveWebhook, signature: str | None
) -> None:
    with pytest.raises(SignatureMissing):
        receive(b"{}", signature=signature)
    assert world.unit.deliveries.stored == {}


def test_a_changed_key_is_read_again_once_in_an_interval(
    world: World, receive: ReceiveWebhook
) -> None:
    _, purchase_id = world.open_checkout()
    body = body_of("purchase.paid", purchase_id)
    # The first refusal takes the turn to read the keys, which are still the old ones.
    with pytest.raises(SignatureInvalid):
        receive(body, signature=sign(body, FOREIGN_KEY))
    (hook,) = world.provider.hooks
    world.provider.hooks = []
    world.provider.public_key_pem = pem_of(FOREIGN_KEY)
    world.provider.register_webhook(hook.callback_url)
    with pytest.raises(SignatureInvalid):
        receive(body, signature=sign(body, FOREIGN_KEY))
    world.pass_time(seconds=61)
    # What was refused before is no duplicate now.
    assert receive(body, signature=sign(body, FOREIGN_KEY)) == "stored"


def test_without_any_key_the_provider_is_asked_to_try_again(world: World) -> None:
    receive = ReceiveWebhook(
        units=world.units,
        provider=world.provider,
        webhook_format=RevioWebhookFormat(),
        callback_url=CALLBACK,
        clock=world.clock,
    )
    world.provider.is_down = True
    with pytest.raises(Unavailable):
        receive(b"{}", signature=sign(b"{}"))
    assert world.unit.deliveries.refused == []


def test_registering_again_uses_the_webhook_that_is_there(world: World) -> None:
    register = RegisterWebhook(
        units=world.units, provider=world.provider, callback_url=CALLBACK, clock=world.clock
    )
    world.provider.lost_answers = 1
    with pytest.raises(Unavailable):
        register()
    for _ in range(2):
        assert [hook.webhook_id for hook in register()] == ["hook-1"]
    assert [hook.webhook_id for hook in world.unit.registrations.all()] == ["hook-1"]


def test_a_wrong_amount_is_told_as_it_came_in(world: World, receive: ReceiveWebhook) -> None:
    _, purchase_id = world.open_checkout()
    paid = Money.parse("1.00", "ZAR")
    world.provider.show_purchase(purchase_id, PurchaseState.PAID, paid=paid)
    deliver(world, receive, body_of("purchase.paid", purchase_id))
    assert [fact["amount"] for fact in world.said(PAID)] == ["1.00"]
    assert world.unit.cases.kinds == [CaseKind.AMOUNT_DIFFERS]
