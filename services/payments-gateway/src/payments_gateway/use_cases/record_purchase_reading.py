"""Acting on what the provider shows of a purchase: the one place where a deposit moves on.

Webhooks, polls and our own calls all end here, so it does not matter which of them comes first,
twice, late or never.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from octoco.money import Money
from octoco.spans import continued
from payments_gateway.domain.cases import Case, CaseKind
from payments_gateway.domain.checkouts import (
    CHECKOUT_MOVES,
    Checkout,
    CheckoutStatus,
    Purchase,
    end_shown_by,
)
from payments_gateway.domain.money_facts import purchase_fact_key
from payments_gateway.domain.policy import Policy
from payments_gateway.domain.provider import Merchant, PurchaseReading, PurchaseState
from payments_gateway.messages.outbound import (
    CheckoutAttemptFailed,
    CheckoutClosed,
    CheckoutOpened,
    DepositPaid,
    reason_code,
)
from payments_gateway.use_cases.ports import Unit
from payments_gateway.use_cases.request_checkout import CANCEL_PURCHASE, CANCELLED_BY_USER
from payments_gateway.use_cases.tell_money_fact import tell_money_fact

POLL_PURCHASE: Final = "poll_purchase"

_REASON_OF_END: Final = {
    CheckoutStatus.EXPIRED: "checkout_expired",
    CheckoutStatus.CANCELLED: "cancelled_at_provider",
    CheckoutStatus.FAILED: "blocked_by_provider",
}


@dataclass(frozen=True, slots=True)
class _Seen:
    """A reading beside what we know: the checkout it belongs to, if it belongs to one."""

    reading: PurchaseReading
    purchase: Purchase
    checkout: Checkout | None

    @property
    def is_the_chosen_one(self) -> bool:
        return self.checkout is not None and self.checkout.purchase_id == self.reading.purchase_id


def record_purchase_reading(
    unit: Unit, reading: PurchaseReading, *, ours: Merchant, policy: Policy, now: datetime
) -> str:
    """Move a deposit to where a reading of its purchase shows it to be.

    Repeating a reading, or recording an older one later, changes nothing. A purchase that is new
    to us is adopted if a checkout of ours still waits for its own (our call's answer was lost, or
    is still under way), is a spare if the checkout has another, and belongs to nobody otherwise.
    Money that came in is told to the wallet as it came in, whatever we asked for.

    Args:
        unit: Locks the checkout, then the purchase.
        reading: What the provider showed.
        ours: Company, brand and mode that an object must have to be ours.
        policy: How patient we are.
        now: UTC.

    Returns:
        One word for what was found, for the log of deliveries.
    """
    known = unit.purchases.find(reading.purchase_id)
    transaction_id = reading.reference if known is None else known.transaction_id
    checkout = unit.checkouts.lock(transaction_id) if transaction_id else None
    with continued(checkout.origin if checkout else None, "record purchase reading"):
        return _record(unit, reading, checkout, ours=ours, policy=policy, now=now)


def _record(
    unit: Unit,
    reading: PurchaseReading,
    checkout: Checkout | None,
    *,
    ours: Merchant,
    policy: Policy,
    now: datetime,
) -> str:
    difference = reading.merchant.difference_to(ours)
    if difference is not None:
        _open_case(unit, CaseKind.NOT_OUR_MERCHANT, reading, now, differs_in=difference)
        return "not_our_merchant"

    purchase = unit.purchases.lock(reading.purchase_id)
    if purchase is None:
        seen = _meet(unit, reading, checkout, policy=policy, now=now)
    else:
        seen = _Seen(reading, purchase, checkout)

    seen = _note_failed_attempts(unit, seen)
    if reading.state.money_came_in:
        return _record_money(unit, seen, now=now)
    _note_state(unit, seen)
    return _record_end(unit, seen, policy=policy)


def _meet(
    unit: Unit,
    reading: PurchaseReading,
    checkout: Checkout | None,
    *,
    policy: Policy,
    now: datetime,
) -> _Seen:
    if checkout is not None and checkout.money != reading.asked:
        checkout = None
    expires_at = reading.expires_at or now + policy.checkout_lifetime
    purchase = Purchase(
        purchase_id=reading.purchase_id,
        transaction_id=None if checkout is None else checkout.transaction_id,
        # What the reading shows is noted below, by the same steps as for a purchase known before.
        state=PurchaseState.UNKNOWN,
        provider_status=reading.provider_status,
        seen_at=reading.read_at,
        expires_at=expires_at,
    )
    unit.purchases.insert(purchase)
    first_look = now + policy.look_interval_min
    unit.intents.add(kind=POLL_PURCHASE, subject_id=reading.purchase_id, due_at=first_look)
    if checkout is None:
        _open_case(unit, CaseKind.UNKNOWN_PURCHASE, reading, now, money=reading.asked)
        return _Seen(reading, purchase, None)
    if not checkout.awaits_purchase:
        unit.intents.add(kind=CANCEL_PURCHASE, subject_id=reading.purchase_id)
        return _Seen(reading, purchase, checkout)
    return _Seen(reading, purchase, _adopt(unit, checkout, reading, expires_at))


def _adopt(
    unit: Unit, checkout: Checkout, reading: PurchaseReading, expires_at: datetime
) -> Checkout:
    adopted = replace(
        checkout.moved_to(CheckoutStatus.OPEN),
        purchase_id=reading.purchase_id,
        expires_at=expires_at,
    )
    unit.checkouts.save(adopted)
    unit.outbox.add(
        CheckoutOpened(
            transaction_id=checkout.transaction_id,
            purchase_id=reading.purchase_id,
            checkout_url=reading.checkout_url,
            expires_at=expires_at,
        )
    )
    return adopted


def _note_failed_attempts(unit: Unit, seen: _Seen) -> _Seen:
    failed = seen.reading.failed_attempts_oldest_first
    # Attempts carry no id, and an older reading has fewer: the count tells which are new.
    for attempt in failed[seen.purchase.attempts_failed :]:
        if seen.checkout is not None:
            unit.outbox.add(
                CheckoutAttemptFailed(
                    transaction_id=seen.checkout.transaction_id,
                    purchase_id=seen.reading.purchase_id,
                    reason_code=reason_code(attempt.error_code),
                )
            )
    count = max(len(failed), seen.purchase.attempts_failed)
    purchase = replace(seen.purchase, attempts_failed=count)
    unit.purchases.save(purchase)
    return replace(seen, purchase=purchase)


def _note_state(unit: Unit, seen: _Seen) -> None:
    older = seen.reading.read_at < seen.purchase.seen_at
    if older or seen.purchase.state.money_came_in:
        return
    unit.purchases.save(
        replace(
            seen.purchase,
            state=seen.reading.state,
            provider_status=seen.reading.provider_status,
            seen_at=seen.reading.read_at,
        )
    )


def _record_money(unit: Unit, seen: _Seen, *, now: datetime) -> str:
    reading, checkout = seen.reading, seen.checkout
    if reading.paid is None or not reading.paid.is_positive:
        # Called paid and shows no money: not money, look again.
        return "paid_without_payment"
    unit.purchases.save(
        replace(
            seen.purchase,
            state=reading.state,
            provider_status=reading.provider_status,
            seen_at=max(reading.read_at, seen.purchase.seen_at),
        )
    )
    _note_differences(unit, seen, reading.paid, now=now)
    tell_money_fact(
        unit,
        DepositPaid(
            fact_key=purchase_fact_key(reading.purchase_id),
            purchase_id=reading.purchase_id,
            transaction_id=seen.purchase.transaction_id,
            money=reading.paid,
            fee=reading.fee,
            paid_at=reading.paid_at or now,
        ),
        now=now,
    )
    if checkout is not None and CHECKOUT_MOVES.allows(checkout.status, CheckoutStatus.PAID):
        unit.checkouts.save(checkout.moved_to(CheckoutStatus.PAID))
        _cancel_other_purchases(unit, checkout.transaction_id, paid=reading.purchase_id)
    return "paid"


def _note_differences(unit: Unit, seen: _Seen, paid: Money, *, now: datetime) -> None:
    reading, checkout = seen.reading, seen.checkout
    asked = reading.asked if checkout is None else checkout.money
    if paid != asked:
        _open_case(unit, CaseKind.AMOUNT_DIFFERS, reading, now, money=paid, asked=str(asked))
    if reading.state is PurchaseState.PAID_THEN_REVERSED:
        _open_case(unit, CaseKind.PURCHASE_REVERSED, reading, now, money=paid)
    first_time = not seen.purchase.state.money_came_in
    if checkout is not None and checkout.status is CheckoutStatus.PAID and first_time:
        _open_case(unit, CaseKind.PAID_TWICE, reading, now, money=paid)


def _cancel_other_purchases(unit: Unit, transaction_id: str, *, paid: str) -> None:
    for other in unit.purchases.of_transaction(transaction_id):
        if other.purchase_id != paid and not other.state.money_came_in:
            unit.intents.add(kind=CANCEL_PURCHASE, subject_id=other.purchase_id)


def _record_end(unit: Unit, seen: _Seen, *, policy: Policy) -> str:
    checkout = seen.checkout
    if checkout is None:
        return "belongs_to_nobody"
    if not seen.is_the_chosen_one:
        return "spare"
    if checkout.status is not CheckoutStatus.OPEN:
        return "nothing_new"
    end = end_shown_by(seen.reading, expires_at=checkout.expires_at, grace=policy.expiry_grace)
    if end is None:
        return "still_open"
    reason = _REASON_OF_END[end]
    if end is CheckoutStatus.CANCELLED and checkout.cancel_requested_at is not None:
        reason = CANCELLED_BY_USER
    unit.checkouts.save(checkout.moved_to(end, reason_code=reason))
    unit.outbox.add(
        CheckoutClosed(
            transaction_id=checkout.transaction_id,
            purchase_id=checkout.purchase_id,
            status=end.value,
            reason_code=reason,
        )
    )
    return end.value


def _open_case(
    unit: Unit,
    kind: CaseKind,
    reading: PurchaseReading,
    now: datetime,
    *,
    money: Money | None = None,
    **evidence: object,
) -> None:
    known = unit.purchases.find(reading.purchase_id)
    unit.cases.open(
        Case(
            kind,
            reading.purchase_id,
            now,
            transaction_id=known.transaction_id if known else None,
            money=money or reading.paid,
            evidence={
                "provider_status": reading.provider_status,
                "reference": reading.reference,
                **evidence,
            },
        )
    )
