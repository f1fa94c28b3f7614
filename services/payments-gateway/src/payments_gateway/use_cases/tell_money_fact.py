"""Telling the wallet what happened to money, until it has answered."""

from datetime import datetime, timedelta
from typing import Final

from payments_gateway.domain.money_facts import MoneyFact
from payments_gateway.messages.outbound import MoneyFactMessage
from payments_gateway.use_cases.ports import Unit

REPEAT_MONEY_FACT: Final = "repeat_money_fact"
FIRST_REPEAT_AFTER: Final = timedelta(seconds=30)


def tell_money_fact(unit: Unit, message: MoneyFactMessage, *, now: datetime) -> bool:
    """Store a money fact, announce it, and see to it that it is repeated until answered.

    All in the caller's unit of work, with the row that the fact is about locked.

    Args:
        unit: The unit in which the fact became known.
        message: The fact; its key makes it one fact for ever, whatever is learnt later.
        now: When it became known, UTC.

    Returns:
        True if it is new; False if it was told before, which changes nothing.
    """
    fact = MoneyFact(
        fact_key=message.fact_key,
        type=message.TYPE,
        data=message.to_data(),
        created_at=now,
        transaction_id=message.transaction_id,
    )
    if not unit.money_facts.insert(fact):
        return False
    unit.outbox.add(message)
    first_repeat = now + FIRST_REPEAT_AFTER
    unit.intents.add(kind=REPEAT_MONEY_FACT, subject_id=fact.fact_key, due_at=first_repeat)
    return True
