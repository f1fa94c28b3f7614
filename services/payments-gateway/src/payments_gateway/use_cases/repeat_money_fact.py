"""Repeating a money fact until the wallet has answered it."""

from dataclasses import replace
from typing import Final

from octoco.clock import Clock
from octoco.intents import Again, Done, Intent
from payments_gateway.domain.cases import Case, CaseKind
from payments_gateway.domain.money_facts import MoneyFact
from payments_gateway.domain.policy import Policy
from payments_gateway.messages.outbound import money_fact_message
from payments_gateway.use_cases.ports import Unit


class RepeatMoneyFact:
    """Tells an unanswered fact once more, under the same key in a new message.

    A missing binding or a dropped queue thus delays money and rings, and never loses it.
    """

    schedule_seconds: Final = (60.0, 300.0, 900.0, 3600.0)

    def __init__(self, *, clock: Clock, policy: Policy) -> None:
        self._clock = clock
        self._policy = policy

    def prepare(self, unit: Unit, intent: Intent) -> MoneyFact | None:
        fact = unit.money_facts.lock(intent.subject_id)
        return None if fact is None or fact.answered_at is not None else fact

    def call(self, prepared: MoneyFact) -> None:  # noqa: ARG002 - the port's signature
        # Nothing outside is asked: the message leaves by the outbox, with its own repeats.
        return None

    def record(
        self,
        unit: Unit,
        intent: Intent,
        *,
        prepared: MoneyFact,  # noqa: ARG002 - the port's signature
        answer: None,  # noqa: ARG002 - likewise
    ) -> Done | Again:
        fact = unit.money_facts.lock(intent.subject_id)
        if fact is None or fact.answered_at is not None:
            return Done()
        unit.outbox.add(money_fact_message(fact.type, fact.data))
        unit.money_facts.save(replace(fact, told_count=fact.told_count + 1))
        now = self._clock.now()
        if now - fact.created_at >= self._policy.fact_unanswered_after:
            unit.cases.open(
                Case(
                    CaseKind.MONEY_FACT_UNANSWERED,
                    fact.fact_key,
                    now,
                    transaction_id=fact.transaction_id,
                    evidence={"fact": dict(fact.data), "told_count": fact.told_count + 1},
                )
            )
        return Again(reason="the wallet has not answered")
