"""Answer facts about money together, with the effects of one by one and the statements of one.

First everything is decided on copies, as if each fact were new. Then the answers are inserted,
which says which facts are new; looking before inserting would make units lose races. Then all that
was decided is carried out by sets.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, TypeVar

from octoco.context import WorkContext, current_context
from octoco.events import OutboundMessage
from octoco.money import Money
from wallet.domain.ledger import Booked, Posting
from wallet.domain.money_facts import MoneyFactAnswer, OperatorCase
from wallet.domain.transactions import Transaction
from wallet.use_cases.announcements import money_fact_answered
from wallet.use_cases.answer_money_fact import FACT_CHANGED, refusal_of
from wallet.use_cases.book_fee import fee_postings
from wallet.use_cases.ports import WalletUnit


class MoneyFact(Protocol):
    """What every fact about money says."""

    @property
    def fact_key(self) -> str: ...
    @property
    def transaction_id(self) -> str | None: ...
    @property
    def money(self) -> Money: ...
    @property
    def fee(self) -> Money | None: ...


F_contra = TypeVar("F_contra", bound=MoneyFact, contravariant=True)
F = TypeVar("F", bound=MoneyFact)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to be done about a new fact.

    Args:
        answer: To be kept and announced.
        transaction: The transaction as changed by it.
        posting: The movement to book.
        case: What a person has to look at.
        message: Makes the announcement of the movement from what was booked.
    """

    answer: MoneyFactAnswer
    transaction: Transaction | None = None
    posting: Posting | None = None
    case: OperatorCase | None = None
    message: Callable[[Booked], OutboundMessage] | None = None


Decide = Callable[[F_contra, Transaction | None], Decision]


class FactsNotTogether(Exception):
    """These facts bear on each other in a way that only one by one gets right."""


def answer_money_facts(
    unit: WalletUnit,
    facts: Sequence[F],
    *,
    transactions: Mapping[str, Transaction],
    decide: Decide[F],
    fee_subject: Callable[[F], str],
    contexts: Sequence[WorkContext] | None,
    at: datetime,
) -> Sequence[MoneyFactAnswer]:
    """Act on each fact once, and announce the answer on every delivery.

    Args:
        unit: Open.
        facts: In the order in which they came; repeats may be among them.
        transactions: Those that the facts name, locked, by id.
        decide: Decides about a fact that is new. It may change the transaction that it is given
            and touches nothing else.
        fee_subject: What the fee of a fact was taken for.
        contexts: Of which work each fact is; None if all are of the work under way.
        at: Now, UTC.

    Returns:
        For each fact the answer that was announced. A fact whose money differs from its first
        delivery is refused and opens an operator case; nothing is booked and the first answer
        stays.

    Raises:
        FactsNotTogether: several facts of one transaction or purchase are entangled with a repeat;
            never for one fact.
        Refusal: the ledger refuses a posting.
    """
    contexts = contexts or [current_context()] * len(facts)
    plan = _decide_all(facts, transactions, decide, {}, at=at)
    stored = _store_answers(unit, plan)
    if stored:
        expected = plan.keys_and_answers()
        plan = _decide_all(facts, transactions, decide, stored, at=at)
        if not plan.keys_and_answers().items() <= expected.items():
            raise FactsNotTogether
    fees, fee_cases = fee_postings(
        unit, [(fee_subject(fact), fact.fee) for fact in facts if fact.fee is not None], at=at
    )
    booked = _book(unit, plan, fees)
    unit.transactions.save_all(list(plan.changed.values()))
    for case in (*plan.cases, *fee_cases):
        unit.operator_cases.open(case)
    _announce(unit, plan, booked, contexts)
    return plan.answers


@dataclass(slots=True)
class _Plan:
    answers: list[MoneyFactAnswer]
    decisions: list[Decision | None]
    changed: dict[str, Transaction]
    cases: list[OperatorCase]

    def keys_and_answers(self) -> dict[str, MoneyFactAnswer]:
        return {one.answer.fact_key: one.answer for one in self.decisions if one is not None}


def _decide_all(
    facts: Sequence[F],
    transactions: Mapping[str, Transaction],
    decide: Decide[F],
    stored: Mapping[str, MoneyFactAnswer],
    *,
    at: datetime,
) -> _Plan:
    copies: dict[str, Transaction] = {}
    known = dict(stored)
    plan = _Plan([], [], {}, [])
    for fact in facts:
        answer = known.get(fact.fact_key)
        decision = None
        if answer is None:
            decision = decide(fact, _copy_of(fact.transaction_id, transactions, copies))
            answer = known[fact.fact_key] = decision.answer
            if decision.transaction is not None:
                plan.changed[decision.transaction.id] = decision.transaction
            if decision.case is not None:
                plan.cases.append(decision.case)
        elif answer.money != fact.money:
            answer, case = refusal_of(
                fact_key=fact.fact_key,
                money=fact.money,
                transaction_id=answer.transaction_id,
                code=FACT_CHANGED,
                at=at,
            )
            plan.cases.append(case)
        plan.answers.append(answer)
        plan.decisions.append(decision)
    return plan


def _copy_of(
    transaction_id: str | None,
    transactions: Mapping[str, Transaction],
    copies: dict[str, Transaction],
) -> Transaction | None:
    if transaction_id is None or transaction_id not in transactions:
        return None
    if transaction_id not in copies:
        copies[transaction_id] = replace(transactions[transaction_id], unsaved_events=[])
    return copies[transaction_id]


def _store_answers(unit: WalletUnit, plan: _Plan) -> Mapping[str, MoneyFactAnswer]:
    """Insert the answers of the facts that are new, and return those of the others."""
    answers = plan.keys_and_answers()
    fresh = unit.money_fact_answers.add_all(list(answers.values()))
    return unit.money_fact_answers.find_all([key for key in answers if key not in fresh])


def _book(unit: WalletUnit, plan: _Plan, fees: Sequence[Posting]) -> Mapping[str, Booked]:
    postings = [
        decision.posting for decision in plan.decisions if decision is not None and decision.posting
    ]
    postings.extend(fees)
    uses = Counter(posting.business_key for posting in postings)
    if len(uses) < len(postings):
        raise FactsNotTogether
    if not postings:
        return {}
    booked = unit.ledger.post_all(postings)
    return {posting.business_key: one for posting, one in zip(postings, booked, strict=True)}


def _announce(
    unit: WalletUnit,
    plan: _Plan,
    booked: Mapping[str, Booked],
    contexts: Sequence[WorkContext],
) -> None:
    messages: list[OutboundMessage] = []
    of_work: list[WorkContext] = []
    for answer, decision, context in zip(plan.answers, plan.decisions, contexts, strict=True):
        if decision is not None and decision.posting is not None and decision.message is not None:
            left = booked[decision.posting.business_key]
            if not left.repeated:
                messages.append(decision.message(left))
        messages.append(money_fact_answered(answer))
        of_work.extend([context] * (len(messages) - len(of_work)))
    unit.outbox.add_all(messages, contexts=of_work)
