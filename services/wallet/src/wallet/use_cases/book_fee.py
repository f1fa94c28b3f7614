"""Book what the provider took for a purchase or a payout."""

from datetime import datetime

from octoco.money import Money
from wallet.domain.ledger import Posting, PostingKind
from wallet.domain.money_facts import OperatorCase
from wallet.use_cases.ports import WalletUnit


def book_fee(unit: WalletUnit, *, subject: str, fee: Money | None, at: datetime) -> None:
    """Post a fee as soon as it is known, once for each total, apart from the money it is for.

    A total that changes posts the difference to the one before. A total that was told before
    posts nothing, so a late repeat of an older one changes nothing either. A fee in another
    currency than the first opens an operator case.

    Args:
        unit: Open.
        subject: The purchase or the payout.
        fee: All that the provider took for it; None while it is not known.
        at: Now, UTC.

    Source: docs/ledger.md, rule L3 and the table of postings.
    """
    if fee is None:
        return
    told = unit.fee_totals.tell(subject=subject, total=fee, at=at)
    if told.in_another_currency:
        unit.operator_cases.open(
            OperatorCase(
                kind="fee_currency_mismatch",
                subject=f"fee:{subject}",
                transaction_id=None,
                money=fee,
                detail="A fee was told in another currency than before; it was not booked.",
                opened_at=at,
            )
        )
    elif told.is_new:
        posting = fee_posting(subject=subject, fee=fee, before=told.before, at=at)
        if posting is not None:
            unit.ledger.post(posting)


def fee_posting(*, subject: str, fee: Money, before: Money | None, at: datetime) -> Posting | None:
    """Return what brings the fees of a purchase or payout to a new total.

    Args:
        subject: The purchase or the payout.
        fee: The new total.
        before: The total that is booked; None if there is none.
        at: Now, UTC.

    Returns:
        The difference as a posting; None where there is none.
    """
    change = fee if before is None else fee - before
    if change.is_zero:
        return None
    return Posting(
        business_key=f"fee:{subject}:{fee.amount_text}",
        kind=PostingKind.FEE if change.is_positive else PostingKind.FEE_RETURN,
        user_id=None,
        money=change if change.is_positive else -change,
        subject=subject,
        effective_at=at,
    )
