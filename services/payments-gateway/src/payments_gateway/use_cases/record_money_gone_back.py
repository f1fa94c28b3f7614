"""Telling the wallet of refunds and chargebacks that a purchase confirms."""

from datetime import datetime
from typing import Final

from octoco.money import Money
from octoco.spans import continued
from payments_gateway.domain.money_facts import chargeback_fact_key, refund_fact_key
from payments_gateway.domain.provider import PurchaseReading
from payments_gateway.domain.webhooks import WebhookSummary
from payments_gateway.messages.outbound import ChargebackOpened, RefundSucceeded
from payments_gateway.use_cases.ports import Unit
from payments_gateway.use_cases.tell_money_fact import tell_money_fact

REFUNDED: Final = "payment.refunded"
CHARGED_BACK: Final = "payment.charged_back"
_TOLD: Final = frozenset({REFUNDED, CHARGED_BACK})


def may_be_told(summary: WebhookSummary) -> bool:
    """Say whether a delivery tells of money that went back, and of how much."""
    return summary.event_type in _TOLD and summary.went_back is not None


def record_money_gone_back(
    unit: Unit, summary: WebhookSummary, reading: PurchaseReading, *, now: datetime
) -> bool:
    """Tell the wallet of a refund or a chargeback, once for its Payment, if the purchase shows it.

    A Payment cannot be read by itself. What confirms it is its purchase: as much has gone back
    there as this Payment and all that were told before say together. That a chargeback was won is
    never told: its event does not say which chargeback, and no purchase shows it.

    Args:
        unit: Holds the purchase locked; its payment was told before, in this unit or an earlier
            one.
        summary: What the delivery says.
        reading: The purchase, read after the delivery came.
        now: UTC.

    Returns:
        True if the wallet has been told, now or before.
    """
    if not may_be_told(summary):
        return False
    assert summary.went_back is not None
    key_of = refund_fact_key if summary.event_type == REFUNDED else chargeback_fact_key
    fact_key = key_of(summary.object_id)
    told = unit.money_facts.gone_back(reading.purchase_id)
    if any(fact.fact_key == fact_key for fact in told):
        return True
    shown = reading.went_back
    if shown is None or shown.currency != summary.went_back.currency:
        return False
    told_before = [Money.parse(str(fact.data["amount"]), shown.currency) for fact in told]
    if sum(told_before, start=summary.went_back) > shown:
        return False
    purchase = unit.purchases.find(reading.purchase_id)
    assert purchase is not None
    message = _message(
        summary,
        fact_key=fact_key,
        purchase_id=reading.purchase_id,
        transaction_id=purchase.transaction_id,
        now=now,
    )
    checkout = unit.checkouts.find(purchase.transaction_id) if purchase.transaction_id else None
    with continued(checkout.origin if checkout else None, "record money gone back"):
        tell_money_fact(unit, message, now=now)
    return True


def _message(
    summary: WebhookSummary,
    *,
    fact_key: str,
    purchase_id: str,
    transaction_id: str | None,
    now: datetime,
) -> RefundSucceeded | ChargebackOpened:
    assert summary.went_back is not None
    at = summary.went_back_at or now
    if summary.event_type == REFUNDED:
        return RefundSucceeded(
            fact_key=fact_key,
            payment_id=summary.object_id,
            purchase_id=purchase_id,
            transaction_id=transaction_id,
            money=summary.went_back,
            refunded_at=at,
        )
    return ChargebackOpened(
        fact_key=fact_key,
        chargeback_id=summary.object_id,
        purchase_id=purchase_id,
        transaction_id=transaction_id,
        money=summary.went_back,
        opened_at=at,
    )
