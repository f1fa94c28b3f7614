"""The withdrawal: money is held first; the hold ends only by what Revio is known to have done."""

from datetime import timedelta
from typing import Final

from wallet.messages.inbound import (
    PayoutAccepted,
    PayoutCancelled,
    PayoutFailed,
    PayoutSucceeded,
)
from wallet.messages.outbound import WithdrawalRequested
from wallet.sagas.saga import Saga, Step

_ENDS: Final = (PayoutSucceeded.TYPE, PayoutFailed.TYPE)

HOLD: Final = Step(
    name="hold",
    does="The wallet checks limits and bank account and holds the money.",
    command=None,
    answers=(),
    compensation="release the hold",
    deadline=None,
)
REVIEW: Final = Step(
    name="review",
    does="Above the threshold an operator looks at it first; the gateway is told nothing yet.",
    command=None,
    answers=(),
    decisions=("an operator approves", "an operator refuses", "the user cancels"),
    compensation="release the hold",
    deadline=timedelta(hours=24),
)
EXECUTE_PAYOUT: Final = Step(
    name="execute_payout",
    does="The gateway creates the payout and executes it; before that it may be cancelled.",
    command=WithdrawalRequested,
    answers=(PayoutAccepted.TYPE, *_ENDS, PayoutCancelled.TYPE),
    compensation="release the hold, when the gateway knows that nothing was paid",
    deadline=timedelta(minutes=15),
)
AWAIT_PAYOUT: Final = Step(
    name="await_payout",
    does="The bank pays.",
    command=None,
    answers=_ENDS,
    compensation="release the hold, when the gateway knows that nothing was paid",
    deadline=timedelta(days=2),
)
SETTLE: Final = Step(
    name="settle",
    does="The wallet settles the hold.",
    command=None,
    answers=(),
    compensation="reversing transfer, by an operator",
    deadline=None,
)

WITHDRAWAL_SAGA: Final = Saga("withdrawal", (HOLD, REVIEW, EXECUTE_PAYOUT, AWAIT_PAYOUT, SETTLE))
