"""Money facts: what has happened to money, told to the wallet until the wallet has answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class MoneyFact:
    """One thing that happened to money.

    Args:
        fact_key: Its identity for ever; the wallet books one effect for each.
        type: The message that tells it.
        data: The message's body, as it was told first; a repeat tells the same.
        transaction_id: The wallet's transaction, None where it matches nothing of ours.
        outcome: What the wallet did with it; None until it answered.
    """

    fact_key: str
    type: str
    data: Mapping[str, object]
    created_at: datetime
    transaction_id: str | None = None
    told_count: int = 1
    answered_at: datetime | None = None
    outcome: str | None = None
    code: str | None = None


def purchase_fact_key(purchase_id: str) -> str:
    return f"purchase:{purchase_id}"


def refund_fact_key(payment_id: str) -> str:
    return f"refund:{payment_id}"


def chargeback_fact_key(payment_id: str) -> str:
    return f"chargeback:{payment_id}"


def payout_fact_key(payout_id: str) -> str:
    return f"payout:{payout_id}"


def payout_failed_fact_key(transaction_id: str) -> str:
    return f"payout_failed:{transaction_id}"
