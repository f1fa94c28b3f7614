"""Statements on fakes: what belongs to a period, in which order, and what a page begins with."""

from datetime import UTC, datetime, timedelta

import pytest

from octoco.ids import new_id
from octoco.money import Money, UnknownCurrency
from wallet.adapters.memory_books import BookedEntry
from wallet.domain.errors import (
    InvalidPeriod,
    PeriodNotBegun,
    PositionNotInPeriod,
    UserNotKnownYet,
)
from wallet.domain.statements import Period, Position, Statement
from wallet.use_cases.get_balance_as_of import get_balance_as_of, get_trial_balance
from wallet.use_cases.get_statement import get_statement, get_whole_statement

from .fakes import FakeWalletUnit, fake_unit
from .story import zar

NOVEMBER = Period.month("2026-11")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class History:
    """A user's history that the test writes, transfer by transfer."""

    def __init__(self) -> None:
        self.unit: FakeWalletUnit = fake_unit()
        self.user_id = new_id("usr")
        self.unit.users.remember(user_id=self.user_id, seen_at=NOW)
        self._versions: dict[str, int] = {}

    def book(self, transfer_id: int, at: datetime, *, clearing: str = "", **legs: str) -> None:
        """Book a transfer; legs are signed as entries are, so what is owed is below zero."""
        for account, amount in {**legs, "provider_clearing": clearing}.items():
            if not amount:
                continue
            is_users = account != "provider_clearing"
            if is_users:
                self._versions[account] = self._versions.get(account, 0) + 1
            self.unit.books.entries.append(
                BookedEntry(
                    transfer_id=transfer_id,
                    transfer_kind="deposit",
                    effective_at=at,
                    transaction_id=None,
                    user_id=self.user_id if is_users else None,
                    account=account,
                    money=zar(amount),
                    version=self._versions[account] if is_users else None,
                    booked_at=at,
                )
            )

    def statement(
        self,
        period: Period = NOVEMBER,
        *,
        after: Position | None = None,
        limit: int = 100,
        currency: str = "ZAR",
        at: datetime = NOW,
    ) -> Statement:
        return get_statement(
            self.unit,
            user_id=self.user_id,
            currency=currency,
            period=period,
            after=after,
            limit=limit,
            at=at,
        )


@pytest.fixture
def history() -> History:
    return History()


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


def test_what_is_booked_at_midnight_belongs_to_the_period_that_begins(history: History) -> None:
    midnight = at("2026-11-01T00:00:00")
    history.book(1, midnight - timedelta(microseconds=1), available="1.00", clearing="-1.00")
    history.book(2, midnight, available="2.00", clearing="-2.00")
    november = history.statement()
    assert november.opening.balance.available == zar("1.00")
    assert [one.transfer_id for one in november.movements] == [2]
    october = history.statement(Period.month("2026-10"))
    assert october.closing == november.opening
    assert [one.transfer_id for one in october.movements] == [1]


def test_one_transfer_is_one_movement_with_all_it_did(history: History) -> None:
    history.book(1, at("2026-11-02T10:00:00"), available="50.00", clearing="-50.00")
    history.book(2, at("2026-11-03T10:00:00"), available="-20.00", held="20.00")
    history.book(3, at("2026-11-04T10:00:00"), held="-20.00", available="5.00", clearing="15.00")
    history.book(
        4, at("2026-11-05T10:00:00"), available="-35.00", receivable="-15.00", clearing="50.00"
    )
    hold, settlement, chargeback = history.statement().movements[1:]
    assert (hold.change.available, hold.change.held) == (zar("-20.00"), zar("20.00"))
    assert settlement.after.balance.available == zar("35.00")
    assert settlement.after.balance.held == zar("0.00")
    assert chargeback.change.receivable == zar("15.00")
    assert chargeback.after == history.statement().closing


def test_ledger_accounts_decide_the_order_where_the_clock_does_not(history: History) -> None:
    same = at("2026-11-02T10:00:00")
    history.book(9, same, available="50.00", clearing="-50.00")
    history.book(8, same, available="-20.00", held="20.00")
    history.book(7, same, held="-20.00", clearing="20.00")
    history.book(6, same, available="-30.00", held="30.00")
    whole = history.statement()
    assert [one.transfer_id for one in whole.movements] == [9, 8, 7, 6]
    assert whole.closing.position == Position(3, 3, 0)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_go_on_where_the_one_before_ended(history: History, limit: int) -> None:
    same = at("2026-11-02T10:00:00")
    for number in range(1, 15, 2):
        history.book(number, same, available="10.00", clearing="-10.00")
        history.book(number + 1, same, available="-10.00", held="10.00")
    whole = history.statement()
    seen: list[int] = []
    after: Position | None = None
    while True:
        page = history.statement(after=after, limit=limit)
        assert (page.opening, page.closing) == (whole.opening, whole.closing)
        assert len(page.movements) <= limit
        seen += [one.transfer_id for one in page.movements]
        after = page.next_after
        if after is None:
            break
    assert seen == list(range(1, 15))
    assert (
        get_whole_statement(
            history.unit, user_id=history.user_id, currency="ZAR", period=NOVEMBER, at=NOW
        )
        == whole
    )


@pytest.mark.parametrize(
    "after",
    [
        Position(99, 0, 0),
        Position(0, 0, 0),
        Position(1, 0, 1),
        # Within a transfer, where no page ends.
        Position(2, 0, 0),
        Position(1, 1, 0),
    ],
)
def test_a_place_that_is_not_of_the_statement_is_refused(history: History, after: Position) -> None:
    history.book(1, at("2026-10-02T10:00:00"), available="10.00", clearing="-10.00")
    history.book(2, at("2026-11-02T10:00:00"), available="-10.00", held="10.00")
    assert history.statement(after=Position(1, 0, 0)) == history.statement()
    with pytest.raises(PositionNotInPeriod) as refused:
        history.statement(after=after)
    assert refused.value.field == "cursor"


def test_a_period_that_has_not_begun_has_no_statement(history: History) -> None:
    with pytest.raises(PeriodNotBegun) as refused:
        history.statement(Period.month("2026-12"))
    assert refused.value.field == "period"
    assert history.statement(Period.month("2026-12"), at=at("2026-12-01T00:00:00")).movements == []


def test_a_statement_is_provisional_until_nothing_can_come_late(history: History) -> None:
    october = Period.month("2026-10")
    assert history.statement(october).provisional
    history.unit.books.final_before = october.ends_at
    assert not history.statement(october).provisional
    assert history.statement().provisional


def test_who_has_nothing_gets_zeros_and_who_is_not_known_waits(history: History) -> None:
    yen = history.statement(currency="JPY")
    assert yen.opening == yen.closing
    assert yen.closing.balance.available == Money.parse("0", "JPY")
    with pytest.raises(UnknownCurrency):
        history.statement(currency="QQQ")
    history.user_id = new_id("usr")
    with pytest.raises(UserNotKnownYet):
        history.statement()
    with pytest.raises(UserNotKnownYet):
        get_balance_as_of(history.unit, user_id=history.user_id, at=NOW)


@pytest.mark.parametrize(
    "text",
    [
        "2026-13",
        "2026-00",
        "2026",
        "2026-1",
        "2026-11-01",
        "0000-01",
        "1969-12",
        "9999-12",
        "٢٠٢٦-11",
    ],
)
def test_text_that_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(InvalidPeriod) as refused:
        Period.month(text)
    assert refused.value.field == "period"


def test_months_follow_each_other_without_a_gap() -> None:
    december, january = Period.month("2026-12"), Period.month("2027-01")
    assert december.ends_at == january.begins_at == at("2027-01-01T00:00:00")
    with pytest.raises(InvalidPeriod):
        Period(january.ends_at, january.begins_at)


def test_the_balance_of_an_instant_counts_what_was_booked_at_it(history: History) -> None:
    booked_at = at("2026-11-02T10:00:00")
    history.book(1, booked_at, available="10.00", clearing="-10.00")
    (now,) = get_balance_as_of(history.unit, user_id=history.user_id, at=booked_at)
    assert now.available == zar("10.00")
    just_before = booked_at - timedelta(microseconds=1)
    (then,) = get_balance_as_of(history.unit, user_id=history.user_id, at=just_before)
    assert then.available == zar("0.00")
    books = get_trial_balance(history.unit, at=booked_at)
    assert {line.kind: line.balance for line in books.lines} == {
        "available": zar("10.00"),
        "provider_clearing": zar("-10.00"),
    }
    assert books.imbalances == {"ZAR": zar("0.00")}
