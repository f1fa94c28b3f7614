"""Take back money of a purchase that Revio gave back to its payer."""

from dataclasses import dataclass
from datetime import datetime

from octoco.errors import TooEarly
from octoco.money import Money
from wallet.domain.ledger import Posting, PostingKind, PurchaseMoney
from wallet.domain.money_facts import MoneyFactAnswer, Outcome
from wallet.use_cases.answer_money_fact import answer_money_fact, refuse_fact
from wallet.use_cases.follow_purchase import follow_purchase
from wallet.use_cases.ports import WalletUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """Money that left through a purchase it had come in by.

    Args:
        fact_key: Names the fact; also the business key of the posting.
        kind: Refund or chargeback.
        outcome: What the wallet answers once it is booked.
        purchase_id: Which purchase.
        transaction_id: The deposit that the purchase was made for, if the gateway knows one.
        money: How much went back.
        effective_at: When it went, UTC.
    """

    fact_key: str
    kind: PostingKind
    outcome: Outcome
    purchase_id: str
    transaction_id: str | None
    money: Money
    effective_at: datetime


def take_back(unit: WalletUnit, taken: TakenBack, *, at: datetime) -> MoneyFactAnswer:
    """Book money that went back, once, and answer the fact on every delivery.

    It is taken from whoever has the purchase's money: the user, who owes what they no longer have,
    or suspense. All that goes back together is never more than came in.

    Args:
        unit: Open.
        taken: What Revio confirmed.
        at: Now, UTC.

    Returns:
        The answer that was announced: the outcome asked for, or `refused` with
        `currency_mismatch` or `exceeds_purchase`, when nothing was booked.

    Raises:
        TooEarly: the purchase is not booked yet.

    Source: docs/ledger.md, rule L12.
    """

    def decide() -> MoneyFactAnswer:
        purchase = unit.ledger.purchase(taken.purchase_id)
        if purchase is None:
            raise TooEarly(waits_for=f"purchase {taken.purchase_id}")
        code = _misfit(taken, purchase)
        if code is not None:
            return refuse_fact(
                unit,
                fact_key=taken.fact_key,
                money=taken.money,
                transaction_id=taken.transaction_id,
                code=code,
                at=at,
            )
        return _book(unit, taken, at=at)

    return answer_money_fact(unit, fact_key=taken.fact_key, money=taken.money, at=at, decide=decide)


def _misfit(taken: TakenBack, purchase: PurchaseMoney) -> str | None:
    if taken.money.currency != purchase.came_in.currency:
        return "currency_mismatch"
    if taken.money > purchase.left:
        return "exceeds_purchase"
    return None


def _book(unit: WalletUnit, taken: TakenBack, *, at: datetime) -> MoneyFactAnswer:
    unit.ledger.post(
        Posting(
            business_key=taken.fact_key,
            kind=taken.kind,
            user_id=None,
            money=taken.money,
            subject=taken.purchase_id,
            effective_at=taken.effective_at,
        )
    )
    deposit = follow_purchase(
        unit, taken.purchase_id, cause=taken.outcome.value, fact_key=taken.fact_key, at=at
    )
    return MoneyFactAnswer(
        fact_key=taken.fact_key,
        money=taken.money,
        outcome=taken.outcome,
        code=None,
        transaction_id=taken.transaction_id if deposit is None else deposit.id,
        answered_at=at,
    )
