"""Book what the provider took for a purchase or a payout."""

from collections.abc import Sequence
from datetime import datetime

from octoco.money import Money
from wallet.domain.ledger import Posting, PostingKind
from wallet.domain.money_facts import FeeTold, OperatorCase
from wallet.use_cases.ports import WalletUnit


def fee_postings(
    unit: WalletUnit, fees: Sequence[tuple[str, Money]], *, at: datetime
) -> tuple[Sequence[Posting], Sequence[OperatorCase]]:
    """Keep what was told of fees, and return what is to be posted for it, each total once.

    A total that changes posts the difference to the one before. A total that was told before
    posts nothing, so a late repeat of an older one changes nothing either.

    Args:
        unit: Open.
        fees: In the order in which they were told: the purchase or the payout, and all that the
            provider took for it.
        at: Now, UTC.

    Returns:
        The postings, and a case for each fee in another currency than the first.

    Source: docs/ledger.md, rule L3 and the table of postings.
    """
    firsts: dict[str, Money] = {}
    for subject, fee in fees:
        firsts.setdefault(subject, fee)
    new = set(unit.fee_totals.tell_firsts(firsts, at=at)) if firsts else set()
    postings: list[Posting] = []
    cases: list[OperatorCase] = []
    for subject, fee in fees:
        if subject in new:
            new.remove(subject)
            told = FeeTold(is_new=True, before=None)
        else:
            told = unit.fee_totals.tell(subject=subject, total=fee, at=at)
        if told.in_another_currency:
            cases.append(_in_another_currency(subject, fee, at=at))
        elif told.is_new:
            posting = fee_posting(subject=subject, fee=fee, before=told.before, at=at)
            postings.extend([posting] if posting else [])
    return postings, cases


def _in_another_currency(subject: str, fee: Money, *, at: datetime) -> OperatorCase:
    return OperatorCase(
        kind="fee_currency_mismatch",
        subject=f"fee:{subject}",
        transaction_id=None,
        money=fee,
        detail="A fee was told in another currency than before; it was not booked.",
        opened_at=at,
    )


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
