"""Book a chargeback, and undo one that was won."""

from datetime import datetime

from octoco.errors import TooEarly
from wallet.domain.ledger import PostingKind
from wallet.domain.money_facts import MoneyFactAnswer, Outcome, chargeback_fact_key
from wallet.messages.inbound import ChargebackOpened, ChargebackReversed
from wallet.use_cases.answer_money_fact import answer_money_fact, refuse_fact
from wallet.use_cases.follow_purchase import follow_purchase
from wallet.use_cases.ports import WalletUnit
from wallet.use_cases.take_back import TakenBack, take_back


def book_chargeback(unit: WalletUnit, fact: ChargebackOpened, *, at: datetime) -> MoneyFactAnswer:
    """Take a chargeback from whoever has the purchase's money, once.

    Args:
        unit: Open.
        fact: What Revio confirmed.
        at: Now, UTC.

    Returns:
        The answer that was announced: `charged_back`, or `refused` with a code; see `take_back`.

    Raises:
        TooEarly: the purchase is not booked yet.
    """
    return take_back(
        unit,
        TakenBack(
            fact_key=fact.fact_key,
            kind=PostingKind.CHARGEBACK,
            outcome=Outcome.CHARGED_BACK,
            purchase_id=fact.purchase_id,
            transaction_id=fact.transaction_id,
            money=fact.money,
            effective_at=fact.opened_at,
        ),
        at=at,
    )


def reverse_chargeback(
    unit: WalletUnit, fact: ChargebackReversed, *, at: datetime
) -> MoneyFactAnswer:
    """Give the money of a chargeback that was won back to whom it was taken from, once.

    What the user still owes is repaid first.

    Args:
        unit: Open.
        fact: What Revio confirmed.
        at: Now, UTC.

    Returns:
        The answer that was announced: `reinstated`, or `refused` with `chargeback_not_booked`,
        `purchase_mismatch`, `currency_mismatch` or `amount_mismatch`, when nothing was booked.

    Raises:
        TooEarly: the chargeback has not come yet.
    """

    def decide() -> MoneyFactAnswer:
        code = _misfit(unit, fact)
        if code is not None:
            return refuse_fact(
                unit,
                fact_key=fact.fact_key,
                money=fact.money,
                transaction_id=fact.transaction_id,
                code=code,
                at=at,
            )
        unit.ledger.reverse(
            business_key=chargeback_fact_key(fact.chargeback_id), effective_at=fact.reversed_at
        )
        deposit = follow_purchase(
            unit,
            fact.purchase_id,
            cause=Outcome.REINSTATED.value,
            fact_key=fact.fact_key,
            at=at,
        )
        return MoneyFactAnswer(
            fact_key=fact.fact_key,
            money=fact.money,
            outcome=Outcome.REINSTATED,
            code=None,
            transaction_id=fact.transaction_id if deposit is None else deposit.id,
            answered_at=at,
        )

    return answer_money_fact(unit, fact_key=fact.fact_key, money=fact.money, at=at, decide=decide)


def _misfit(unit: WalletUnit, fact: ChargebackReversed) -> str | None:
    key = chargeback_fact_key(fact.chargeback_id)
    booked = unit.ledger.find_transfer(key)
    if booked is None:
        if unit.money_fact_answers.find(key) is None:
            raise TooEarly(waits_for=f"chargeback {fact.chargeback_id}")
        return "chargeback_not_booked"
    if booked.subject != fact.purchase_id:
        return "purchase_mismatch"
    if booked.money.currency != fact.money.currency:
        return "currency_mismatch"
    if booked.money != fact.money:
        return "amount_mismatch"
    return None
