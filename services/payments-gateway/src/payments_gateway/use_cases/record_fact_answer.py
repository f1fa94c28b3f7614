"""Hearing what the wallet did with a money fact."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from payments_gateway.domain.cases import Case, CaseKind
from payments_gateway.messages.inbound import MoneyFactAnswered
from payments_gateway.use_cases.ports import Unit
from payments_gateway.use_cases.tell_money_fact import REPEAT_MONEY_FACT

_KIND_OF_UNBOOKED: Final = {
    "refused": CaseKind.MONEY_FACT_REFUSED,
    "suspended": CaseKind.MONEY_FACT_SUSPENDED,
}


def record_fact_answer(unit: Unit, answer: MoneyFactAnswered, *, now: datetime) -> None:
    """Remember what the wallet did with a fact; what it did not book goes to a person.

    The first answer counts: the wallet gives every delivery of a fact the same one.
    """
    fact = unit.money_facts.lock(answer.fact_key)
    if fact is None or fact.answered_at is not None:
        return
    unit.money_facts.save(
        replace(fact, answered_at=answer.answered_at, outcome=answer.outcome, code=answer.code)
    )
    unit.intents.hurry(kind=REPEAT_MONEY_FACT, subject_id=answer.fact_key)
    kind = _KIND_OF_UNBOOKED.get(answer.outcome)
    if kind is not None:
        evidence = {"outcome": answer.outcome, "code": answer.code, "fact": dict(fact.data)}
        unit.cases.open(
            Case(kind, fact.fact_key, now, transaction_id=fact.transaction_id, evidence=evidence)
        )
