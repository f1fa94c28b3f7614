"""One suite for every payment provider: the fake of the unit tests and Revio at the sandbox."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from octoco.clock import SystemClock
from octoco.errors import Unavailable
from octoco.ids import new_id
from octoco.money import Money
from octoco.testing import eventually
from payments_gateway.adapters.in_memory.provider import FakeProvider
from payments_gateway.adapters.revio.provider import RevioProvider
from payments_gateway.adapters.revio.transport import RevioTransport
from payments_gateway.domain.errors import ProviderRefused
from payments_gateway.domain.provider import (
    BankDestination,
    Merchant,
    PayoutOrder,
    PayoutReading,
    PayoutState,
    PurchaseOrder,
    PurchaseState,
)
from payments_gateway.domain.sensitive import SensitiveText
from payments_gateway.use_cases.ports import PaymentProvider

from .sandbox import BRAND_ID, COMPANY_ID, SECRET_KEY, Sandbox

OURS = Merchant(company_id=COMPANY_ID, brand_id=BRAND_ID, is_test=True)
R250 = Money.parse("250.00", "ZAR")
NOBODY = "00000000-0000-4000-8000-000000000000"
DESTINATION = BankDestination(
    account_holder="Thandi Nkosi",
    bank_name="First Bank",
    branch_code="250655",
    account_number=SensitiveText("62000000001"),
    account_type="cheque",
)


@dataclass
class Bench:
    """A provider, and a hand that moves what only payers and banks move."""

    provider: PaymentProvider
    pay: Callable[[str], None]
    fail_attempt: Callable[[str], None]
    end_payout: Callable[[str], None]
    refuse_next: Callable[[str], None]
    lose_next_purchase_answers: Callable[[], None]


def fake_bench() -> Bench:
    provider = FakeProvider(merchant=OURS, clock=SystemClock())

    def refuse(_: str) -> None:
        provider.refuse_with = "not_allowed"

    def pay(purchase_id: str) -> None:
        provider.show_purchase(purchase_id, PurchaseState.PAID, fee=Money.parse("7.25", "ZAR"))

    def end_payout(payout_id: str) -> None:
        provider.show_payout(payout_id, PayoutState.SUCCEEDED)

    def lose() -> None:
        provider.lost_answers = 1

    return Bench(
        provider=provider,
        pay=pay,
        fail_attempt=lambda purchase_id: provider.fail_attempt(
            purchase_id, "validation_cvc_invalid"
        ),
        end_payout=end_payout,
        refuse_next=refuse,
        lose_next_purchase_answers=lose,
    )


def revio_bench(sandbox: Sandbox) -> Bench:
    provider = RevioProvider(
        transport=RevioTransport(base_url=sandbox.api_url, secret_key=SECRET_KEY),
        brand_id=BRAND_ID,
        return_url="http://127.0.0.1:1/returned",
        clock=SystemClock(),
    )

    def checkout_url(purchase_id: str) -> str:
        reading = provider.read_purchase(purchase_id)
        assert reading is not None
        return reading.checkout_url

    def refuse(operation: str) -> None:
        sandbox.next(operation, http_status=400, code="not_allowed", message="No.")

    return Bench(
        provider=provider,
        pay=lambda purchase_id: sandbox.pay(checkout_url(purchase_id)),
        fail_attempt=lambda purchase_id: sandbox.pay(checkout_url(purchase_id), cvc="999"),
        end_payout=lambda _: None,
        refuse_next=refuse,
        lose_next_purchase_answers=lambda: sandbox.next("purchase_create", times=3, lost="close"),
    )


@pytest.fixture(params=["fake", "revio"])
def bench(request: pytest.FixtureRequest, sandbox: Sandbox) -> Bench:
    return fake_bench() if request.param == "fake" else revio_bench(sandbox)


def purchase_order(money: Money = R250) -> PurchaseOrder:
    return PurchaseOrder(
        reference=new_id("txn"),
        money=money,
        email="thandi@example.com",
        full_name="Thandi Nkosi",
        expires_at=SystemClock().now() + timedelta(hours=1),
    )


def payout_order(money: Money = R250) -> PayoutOrder:
    return PayoutOrder(
        reference=new_id("txn"),
        money=money,
        email="thandi@example.com",
        full_name="Thandi Nkosi",
        destination=DESTINATION,
    )


def test_a_new_purchase_is_payable_for_what_was_asked(bench: Bench) -> None:
    order = purchase_order()
    made = bench.provider.create_purchase(order)
    assert made.state is PurchaseState.PAYABLE
    assert (made.asked, made.reference, made.paid) == (R250, order.reference, None)
    assert made.merchant == OURS
    assert made.checkout_url.startswith("http")
    assert made.expires_at is not None
    assert abs(made.expires_at - order.expires_at) < timedelta(seconds=1)


def test_a_repeat_of_a_creation_makes_another_purchase(bench: Bench) -> None:
    order = purchase_order()
    first, second = (bench.provider.create_purchase(order) for _ in range(2))
    assert first.purchase_id != second.purchase_id


def test_a_paid_purchase_shows_what_came_in(bench: Bench) -> None:
    made = bench.provider.create_purchase(purchase_order())
    bench.fail_attempt(made.purchase_id)
    failed = bench.provider.read_purchase(made.purchase_id)
    assert failed is not None
    assert failed.state is PurchaseState.PAYABLE
    assert [attempt.error_code for attempt in failed.attempts] == ["validation_cvc_invalid"]
    bench.pay(made.purchase_id)
    paid = bench.provider.read_purchase(made.purchase_id)
    assert paid is not None
    assert paid.state is PurchaseState.PAID
    assert (paid.paid, paid.fee) == (R250, Money.parse("7.25", "ZAR"))
    assert paid.paid_at is not None
    assert len(paid.failed_attempts_oldest_first) == 1


def test_cancelling_makes_unpayable_and_may_be_repeated(bench: Bench) -> None:
    made = bench.provider.create_purchase(purchase_order())
    for _ in range(2):
        cancelled = bench.provider.cancel_purchase(made.purchase_id)
        assert cancelled is not None
        assert cancelled.state is PurchaseState.CANCELLED


def test_cancelling_what_is_paid_shows_it_paid(bench: Bench) -> None:
    made = bench.provider.create_purchase(purchase_order())
    bench.pay(made.purchase_id)
    shown = bench.provider.cancel_purchase(made.purchase_id)
    assert shown is not None
    assert shown.state is PurchaseState.PAID


def test_what_is_not_there_is_none(bench: Bench) -> None:
    assert bench.provider.read_purchase(NOBODY) is None
    assert bench.provider.cancel_purchase(NOBODY) is None
    assert bench.provider.read_payout(NOBODY) is None


def test_a_refusal_carries_the_providers_code(bench: Bench) -> None:
    bench.refuse_next("purchase_create")
    with pytest.raises(ProviderRefused) as refused:
        bench.provider.create_purchase(purchase_order())
    assert refused.value.provider_code == "not_allowed"


def test_a_lost_answer_is_unavailable(bench: Bench) -> None:
    bench.lose_next_purchase_answers()
    with pytest.raises(Unavailable):
        bench.provider.create_purchase(purchase_order())


def test_a_created_payout_is_untouched_until_executed_once(bench: Bench) -> None:
    order = payout_order()
    made = bench.provider.create_payout(order)
    assert made.state is PayoutState.INITIALIZED
    assert (made.amount, made.reference, made.attempts) == (R250, order.reference, ())
    assert made.merchant == OURS
    assert made.execution_url is not None

    answer = bench.provider.execute_payout(
        payout_id=made.payout_id, execution_url=made.execution_url, destination=DESTINATION
    )
    assert answer.said is PayoutState.PENDING
    again = bench.provider.execute_payout(
        payout_id=made.payout_id, execution_url=made.execution_url, destination=DESTINATION
    )
    assert again.said is PayoutState.ERROR

    bench.end_payout(made.payout_id)

    def succeeded() -> PayoutReading | None:
        reading = bench.provider.read_payout(made.payout_id)
        assert reading is not None
        return reading if reading.state is PayoutState.SUCCEEDED else None

    assert eventually(succeeded, what="the payout's success").amount == R250


def test_the_float_is_money_of_the_currency(bench: Bench) -> None:
    assert bench.provider.payout_float("ZAR") > R250


def test_a_registered_webhook_is_listed_by_its_address(bench: Bench) -> None:
    callback_url = f"http://127.0.0.1:1/{new_id('hook')}"
    assert list(bench.provider.webhooks(callback_url)) == []
    made = bench.provider.register_webhook(callback_url)
    assert [hook.webhook_id for hook in bench.provider.webhooks(callback_url)] == [made.webhook_id]
