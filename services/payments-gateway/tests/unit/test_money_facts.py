"""Money facts are told until they are answered."""

from datetime import UTC, datetime

import pytest

from octoco.intents import Again, Done
from payments_gateway.domain.cases import CaseKind
from payments_gateway.domain.provider import PurchaseState
from payments_gateway.messages.inbound import MoneyFactAnswered
from payments_gateway.use_cases.record_fact_answer import record_fact_answer

from .world import World

PAID = "payments.deposit.paid.v1"


@pytest.fixture
def fact_key(world: World) -> str:
    _, purchase_id = world.open_checkout()
    world.provider.show_purchase(purchase_id, PurchaseState.PAID)
    world.perform("poll_purchase", purchase_id)
    return f"purchase:{purchase_id}"


def answer(world: World, fact_key: str, outcome: str, code: str | None = None) -> None:
    answered = MoneyFactAnswered(fact_key, outcome, code, datetime(2026, 9, 21, 13, tzinfo=UTC))
    world.units.run(lambda unit: record_fact_answer(unit, answered, now=world.clock.now()))


def test_an_unanswered_fact_is_repeated_word_for_word(world: World, fact_key: str) -> None:
    for _ in range(2):
        assert isinstance(world.perform("repeat_money_fact", fact_key), Again)
    first, second, third = world.said(PAID)
    assert first == second == third


def test_an_answered_fact_is_told_no_more(world: World, fact_key: str) -> None:
    answer(world, fact_key, "credited")
    assert world.perform("repeat_money_fact", fact_key) == Done()
    assert len(world.said(PAID)) == 1
    assert world.unit.cases.kinds == []


def test_an_answer_between_looking_and_telling_stops_the_telling(
    world: World, fact_key: str
) -> None:
    handler = world.handlers["repeat_money_fact"]
    intent = world.intent("repeat_money_fact", fact_key)
    prepared = handler.prepare(world.unit, intent)
    answer(world, fact_key, "credited")
    assert handler.record(world.unit, intent, prepared=prepared, answer=None) == Done()
    assert len(world.said(PAID)) == 1


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [("refused", CaseKind.MONEY_FACT_REFUSED), ("suspended", CaseKind.MONEY_FACT_SUSPENDED)],
)
def test_what_the_wallet_did_not_book_goes_to_a_person(
    world: World, fact_key: str, outcome: str, kind: CaseKind
) -> None:
    answer(world, fact_key, outcome, "some_code")
    answer(world, fact_key, outcome, "some_code")
    assert world.unit.cases.kinds == [kind]


def test_a_fact_that_nobody_answers_for_a_day_goes_to_a_person(world: World, fact_key: str) -> None:
    world.pass_time(hours=25)
    world.perform("repeat_money_fact", fact_key)
    assert world.unit.cases.kinds == [CaseKind.MONEY_FACT_UNANSWERED]


def test_an_answer_to_an_unknown_fact_changes_nothing(world: World) -> None:
    answer(world, "purchase:nobody", "credited")
    assert world.unit.cases.kinds == []
