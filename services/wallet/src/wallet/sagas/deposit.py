"""The deposit: the user pays at Revio's checkout, the wallet credits what Revio confirms."""

from datetime import timedelta
from typing import Final

from wallet.messages.inbound import (
    CheckoutClosed,
    CheckoutOpened,
    DepositPaid,
)
from wallet.messages.outbound import DepositRequested
from wallet.sagas.saga import Saga, Step

OPEN_CHECKOUT: Final = Step(
    name="open_checkout",
    does="The gateway creates a purchase at Revio.",
    command=DepositRequested,
    answers=(CheckoutOpened.TYPE, CheckoutClosed.TYPE, DepositPaid.TYPE),
    compensation="none: no money has moved",
    deadline=timedelta(minutes=5),
)
AWAIT_PAYMENT: Final = Step(
    name="await_payment",
    does="The user pays; a failed attempt is noted and ends nothing. Counted from the expiry.",
    command=None,
    answers=(CheckoutClosed.TYPE, DepositPaid.TYPE),
    compensation="none: no money has moved",
    deadline=timedelta(hours=1),
)
CREDIT: Final = Step(
    name="credit",
    does="The wallet credits the user, or books to suspense what fits no deposit.",
    command=None,
    answers=(),
    compensation="reversing transfer, by an operator",
    deadline=None,
)

DEPOSIT_SAGA: Final = Saga("deposit", (OPEN_CHECKOUT, AWAIT_PAYMENT, CREDIT))
