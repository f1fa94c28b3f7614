"""Book what the provider took for a purchase or a payout."""

from datetime import datetime

from octoco.money import Money
from wallet.domain.ledger import Posting, PostingKind
from wallet.domain.money_facts import OperatorCase
from wallet.use_cases.ports import WalletUnit


def book_fee(unit: WalletUnit, *, subject: str, fee: Money | None, at: datetime) -> None:
    """Post a fee as soon as it is known, once, apart from the money it was taken for.

    A repeat posts nothing. A fee that changed after it was booked opens an operator case.

    Args:
        unit: Open.
        subject: The purchase or the payout.
        fee: What the provider took; None while it is not known.
        at: Now, UTC.
    """
    if fee is None or not fee.is_positive:
        return
    business_key = f"fee:{subject}"
    booked = unit.ledger.find_transfer(business_key)
    if booked is None:
        unit.ledger.post(
            Posting(
                business_key=business_key,
                kind=PostingKind.FEE,
                user_id=None,
                money=fee,
                subject=subject,
                effective_at=at,
            )
        )
    elif booked.money != fee:
        unit.operator_cases.open(
            OperatorCase(
                kind="fee_changed",
                subject=f"{business_key}:{fee.amount_text}",
                transaction_id=None,
                money=fee,
                detail=f"The fee was booked as {booked.money}.",
                opened_at=at,
            )
        )
