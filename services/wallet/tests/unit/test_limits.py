"""What bounds a user's transactions, without a database."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoco.money import Money
from wallet.domain.errors import CurrencyNotOffered, LimitExceeded
from wallet.domain.limits import DAY, HOUR, MONTH, Bounds, Counted, Limits
from wallet.domain.roles import Role

from .story import NOW, Story, zar

BOUNDS = Bounds(
    per_transaction={"ZAR": zar("500.00"), "JPY": None},
    per_hour={"ZAR": 3},
    per_day={"ZAR": zar("800.00")},
    per_month={"ZAR": zar("2000.00")},
    review_above={"ZAR": zar("400.00")},
)


def counted(*moves: tuple[timedelta, str]) -> list[Counted]:
    return [Counted(NOW - ago, zar(amount)) for ago, amount in moves]


def refused(money: Money, moves: list[Counted]) -> Mapping[str, Any]:
    with pytest.raises(LimitExceeded) as refusal:
        BOUNDS.require_within(money, what="withdrawal", counted=moves, at=NOW)
    return refusal.value.details


def passes(money: Money, moves: list[Counted], *, at: datetime = NOW) -> None:
    BOUNDS.require_within(money, what="withdrawal", counted=moves, at=at)


def text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def test_a_single_one_that_is_too_large_is_never_possible() -> None:
    assert refused(zar("500.01"), []) == {
        "limit_name": "per_transaction",
        "limit": "500.00",
        "left": "500.00",
    }
    passes(zar("500.00"), [])


def test_the_count_of_an_hour_says_when_the_next_one_is_possible() -> None:
    minutes = [timedelta(minutes=m) for m in (50, 30, 10)]
    moves = counted(*((ago, "1.00") for ago in minutes))
    details = refused(zar("1.00"), moves)
    assert details == {
        "limit_name": "per_hour",
        "limit": 3,
        "left": 0,
        "possible_again_at": text(NOW + timedelta(minutes=10)),
    }
    passes(zar("1.00"), moves, at=NOW + timedelta(minutes=10))
    passes(zar("1.00"), moves[1:])


def test_the_sum_of_a_day_says_what_is_left_and_when_there_is_room() -> None:
    moves = counted(
        (timedelta(hours=23), "100.00"),
        (timedelta(hours=12), "300.00"),
        (timedelta(hours=2), "300.00"),
    )
    assert refused(zar("100.01"), moves) == {
        "limit_name": "per_day",
        "limit": "800.00",
        "left": "100.00",
        "possible_again_at": text(NOW + timedelta(hours=1)),
    }
    assert refused(zar("200.01"), moves)["possible_again_at"] == text(NOW + timedelta(hours=12))
    passes(zar("100.00"), moves)
    passes(zar("200.00"), moves, at=NOW + timedelta(hours=1))


def test_the_sum_of_a_month_is_that_of_any_30_days() -> None:
    moves = counted(
        (timedelta(days=29, hours=23), "700.00"),
        (timedelta(days=10), "800.00"),
        (timedelta(days=5), "400.00"),
    )
    details = refused(zar("100.01"), moves)
    assert (details["limit_name"], details["left"]) == ("per_month", "100.00")
    assert details["possible_again_at"] == text(NOW + timedelta(hours=1))
    passes(zar("500.00"), moves, at=NOW + timedelta(hours=1))


def test_limits_that_were_lowered_leave_nothing_and_not_less() -> None:
    moves = counted((timedelta(hours=2), "500.00"), (timedelta(hours=3), "500.00"))
    assert refused(zar("1.00"), moves)["left"] == "0.00"


def test_a_currency_without_bounds_is_not_offered_and_one_without_a_bound_is_free() -> None:
    with pytest.raises(CurrencyNotOffered):
        passes(Money.parse("1.00", "USD"), [])
    passes(Money.parse("100000000", "JPY"), [])
    assert not BOUNDS.need_review(Money.parse("100000000", "JPY"))


def test_only_what_is_above_the_threshold_is_reviewed() -> None:
    assert [BOUNDS.need_review(zar(a)) for a in ("400.00", "400.01")] == [False, True]


def test_the_most_trusted_role_that_names_a_bound_decides_it() -> None:
    def only(**bounds: Any) -> Limits:
        return Limits(deposits=Bounds(), withdrawals=Bounds(**bounds))

    limits = replace(
        only(per_transaction={"ZAR": zar("1.00")}, per_day={"ZAR": zar("1.00")}),
        by_role={
            Role.ADMIN: only(per_transaction={"ZAR": zar("9.00")}),
            Role.FINANCE: only(per_transaction={"ZAR": zar("5.00")}, per_day={"ZAR": zar("0.50")}),
        },
    )
    both = limits.for_roles(["admin", "user", "finance"]).withdrawals
    assert both.per_transaction == {"ZAR": zar("9.00")}
    assert both.per_day == {"ZAR": zar("0.50")}
    assert limits.for_roles(["support", "unheard-of"]).withdrawals == limits.withdrawals


@given(
    st.lists(st.tuples(st.integers(0, 40 * 24 * 60), st.integers(1, 50000)), max_size=30),
    st.integers(1, 50000),
)
def test_what_is_said_to_be_possible_then_is_possible_then_and_not_before(
    moves: list[tuple[int, int]], cents: int
) -> None:
    bounds = replace(BOUNDS, per_hour={}, review_above={})
    money = Money.from_minor(cents, "ZAR")
    kept = [
        Counted(NOW - timedelta(minutes=minutes), Money.from_minor(amount, "ZAR"))
        for minutes, amount in moves
    ]

    def refusal_at(at: datetime) -> LimitExceeded | None:
        try:
            bounds.require_within(money, what="withdrawal", counted=kept, at=at)
        except LimitExceeded as refusal:
            return refusal
        return None

    refusal = refusal_at(NOW)
    used = {
        window: sum(one.money.amount for one in kept if one.at > NOW - window)
        for window in (DAY, MONTH)
    }
    fits = used[DAY] + money.amount <= 800 and used[MONTH] + money.amount <= 2000
    assert (refusal is None) == fits
    if refusal is None:
        return
    again_at = datetime.fromisoformat(str(refusal.details["possible_again_at"]))
    name = refusal.details["limit_name"]
    then = refusal_at(again_at)
    assert then is None or then.details["limit_name"] != name
    before = refusal_at(again_at - timedelta(microseconds=1))
    assert before is not None


def test_what_failed_was_cancelled_or_expired_counts_no_more(funded: Story) -> None:
    funded.pay(funded.deposit("2000.00").id, "2000.00", purchase_id="more")
    failed = funded.withdraw("400.00")
    with pytest.raises(LimitExceeded):
        funded.withdraw("400.01")
    funded.fail(failed, "400.00")
    in_review = funded.withdraw("450.00")
    with pytest.raises(LimitExceeded):
        funded.withdraw("350.01")
    funded.cancel_in_review(in_review)
    funded.withdraw("350.01")


def test_the_velocity_of_an_hour_is_bound(funded: Story) -> None:
    for _ in range(20):
        funded.withdraw("1.00")
    with pytest.raises(LimitExceeded) as refusal:
        funded.withdraw("1.00")
    assert refusal.value.details["limit_name"] == "per_hour"
    funded.clock.advance(HOUR)
    funded.withdraw("1.00")
