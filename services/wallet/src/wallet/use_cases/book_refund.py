"""Book a refund that Revio has made."""

from datetime import datetime

from wallet.domain.ledger import PostingKind
from wallet.domain.money_facts import MoneyFactAnswer, Outcome
from wallet.messages.inbound import RefundSucceeded
from wallet.use_cases.ports import WalletUnit
from wallet.use_cases.take_back import TakenBack, take_back


def book_refund(unit: WalletUnit, fact: RefundSucceeded, *, at: datetime) -> MoneyFactAnswer:
    """Take a refund from whoever has the purchase's money, once for each Payment of Revio.

    Args:
        unit: Open.
        fact: What Revio confirmed.
        at: Now, UTC.

    Returns:
        The answer that was announced: `refunded`, or `refused` with a code; see `take_back`.

    Raises:
        TooEarly: the purchase is not booked yet.
    """
    return take_back(
        unit,
        TakenBack(
            fact_key=fact.fact_key,
            kind=PostingKind.REFUND,
            outcome=Outcome.REFUNDED,
            purchase_id=fact.purchase_id,
            transaction_id=fact.transaction_id,
            money=fact.money,
            effective_at=fact.refunded_at,
        ),
        at=at,
    )
