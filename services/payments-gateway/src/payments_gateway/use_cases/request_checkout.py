"""Taking up a deposit that the wallet asks for, and giving one up."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from octoco.context import current_context
from octoco.errors import TooEarly
from payments_gateway.domain.checkouts import Checkout, CheckoutStatus
from payments_gateway.messages.inbound import DepositCancelRequested, DepositRequested
from payments_gateway.messages.outbound import CheckoutClosed
from payments_gateway.use_cases.ports import Unit

CREATE_PURCHASE: Final = "create_purchase"
CANCEL_PURCHASE: Final = "cancel_purchase"
CANCELLED_BY_USER: Final = "cancelled_by_user"


def request_checkout(unit: Unit, request: DepositRequested, *, now: datetime) -> None:
    """Store a deposit's checkout and the intent to create its purchase.

    A request that came before changes nothing; one whose cancellation came first is closed at
    once and reaches the provider never.

    Raises:
        TooEarly: the user's registration has not arrived yet.
    """
    if unit.checkouts.lock(request.transaction_id) is not None:
        return
    if unit.users.find(request.user_id) is None:
        raise TooEarly(waits_for=f"user {request.user_id}")
    checkout = Checkout(
        transaction_id=request.transaction_id,
        user_id=request.user_id,
        money=request.money,
        status=CheckoutStatus.REQUESTED,
        created_at=now,
        origin=current_context(),
    )
    if unit.tombstones.holds(request.transaction_id):
        cancelled = checkout.moved_to(CheckoutStatus.CANCELLED, reason_code=CANCELLED_BY_USER)
        unit.checkouts.insert(replace(cancelled, cancel_requested_at=now))
        unit.outbox.add(closed_by_user(request.transaction_id))
        return
    unit.checkouts.insert(checkout)
    unit.intents.add(kind=CREATE_PURCHASE, subject_id=request.transaction_id)


def request_checkout_cancellation(
    unit: Unit, request: DepositCancelRequested, *, now: datetime
) -> None:
    """Give up a deposit: at once while nobody can pay it, else by cancelling its purchase.

    While no purchase is known, nobody but us and the provider has a way to pay; a purchase whose
    creation is under way at this moment turns up as a spare and is cancelled. Once the user has
    the way to pay, only the provider can say that they did not use it. Money that came in stays
    in. A cancellation that comes before its request leaves a tombstone.
    """
    checkout = unit.checkouts.lock(request.transaction_id)
    if checkout is None:
        unit.tombstones.bury(request.transaction_id)
        return
    if checkout.user_id != request.user_id or checkout.cancel_requested_at is not None:
        return
    if checkout.status is CheckoutStatus.REQUESTED:
        cancelled = checkout.moved_to(CheckoutStatus.CANCELLED, reason_code=CANCELLED_BY_USER)
        unit.checkouts.save(replace(cancelled, cancel_requested_at=now))
        unit.outbox.add(closed_by_user(checkout.transaction_id))
    elif checkout.status is CheckoutStatus.OPEN and checkout.purchase_id is not None:
        unit.checkouts.save(replace(checkout, cancel_requested_at=now))
        unit.intents.add(kind=CANCEL_PURCHASE, subject_id=checkout.purchase_id)


def closed_by_user(transaction_id: str) -> CheckoutClosed:
    return CheckoutClosed(
        transaction_id=transaction_id,
        purchase_id=None,
        status=CheckoutStatus.CANCELLED.value,
        reason_code=CANCELLED_BY_USER,
    )
