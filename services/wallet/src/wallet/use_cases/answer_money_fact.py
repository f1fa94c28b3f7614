"""Answer a fact about money, the same way however often it comes."""

from collections.abc import Callable
from datetime import datetime

from octoco.money import Money
from wallet.domain.money_facts import MoneyFactAnswer, OperatorCase, Outcome
from wallet.use_cases.announcements import money_fact_answered
from wallet.use_cases.ports import WalletUnit

FACT_CHANGED = "business_key_reused"


def answer_money_fact(
    unit: WalletUnit,
    *,
    fact_key: str,
    money: Money,
    at: datetime,
    decide: Callable[[], MoneyFactAnswer],
) -> MoneyFactAnswer:
    """Act on a fact once, and announce the answer on every delivery.

    Args:
        unit: Open.
        fact_key: Names the fact; the only thing that makes a delivery a repeat.
        money: What the fact says has moved.
        at: Now, UTC.
        decide: Acts on a fact that is new and returns the answer to be kept.

    Returns:
        The answer that was announced. A fact whose money differs from its first delivery is
        refused and opens an operator case; nothing is booked and the first answer stays.
    """
    answer = unit.money_fact_answers.find(fact_key)
    if answer is None:
        answer = decide()
        unit.money_fact_answers.add(answer)
    elif answer.money != money:
        answer = refuse_fact(
            unit,
            fact_key=fact_key,
            money=money,
            transaction_id=answer.transaction_id,
            code=FACT_CHANGED,
            at=at,
        )
    unit.outbox.add(money_fact_answered(answer))
    return answer


def refuse_fact(
    unit: WalletUnit,
    *,
    fact_key: str,
    money: Money,
    transaction_id: str | None,
    code: str,
    at: datetime,
) -> MoneyFactAnswer:
    """Book nothing, open an operator case, and return the answer that says so.

    Args:
        unit: Open.
        fact_key: Which fact.
        money: What it says has moved.
        transaction_id: The transaction concerned, if the wallet knows one.
        code: Why.
        at: Now, UTC.
    """
    answer, case = refusal_of(
        fact_key=fact_key, money=money, transaction_id=transaction_id, code=code, at=at
    )
    unit.operator_cases.open(case)
    return answer


def refusal_of(
    *, fact_key: str, money: Money, transaction_id: str | None, code: str, at: datetime
) -> tuple[MoneyFactAnswer, OperatorCase]:
    """Return the answer that refuses a fact, and the case to be opened; see `refuse_fact`."""
    answer = MoneyFactAnswer(
        fact_key=fact_key,
        money=money,
        outcome=Outcome.REFUSED,
        code=code,
        transaction_id=transaction_id,
        answered_at=at,
    )
    case = OperatorCase(
        kind=code,
        subject=fact_key,
        transaction_id=transaction_id,
        money=money,
        detail="A fact about money was refused; nothing was booked.",
        opened_at=at,
    )
    return answer, case
