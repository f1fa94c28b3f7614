"""Show what moved a user's money within a period."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from wallet.domain.errors import PeriodNotBegun, PositionNotInPeriod, UserNotKnownYet
from wallet.domain.statements import (
    Movement,
    Period,
    Position,
    Standing,
    Statement,
    movements_from,
)
from wallet.use_cases.ports import WalletUnit

_SMALLEST_STEP: Final = timedelta(microseconds=1)
_MOVEMENTS_READ_AT_ONCE: Final = 1000


def get_statement(
    unit: WalletUnit,
    *,
    user_id: str,
    currency: str,
    period: Period,
    after: Position | None,
    limit: int,
    at: datetime,
) -> Statement:
    """Return a page of a user's statement, computed from entries alone.

    What was booked decides what belongs to a period; when it became true outside is shown beside
    it. The closing balance of a period is the opening one of the next. Once a statement is not
    provisional it never changes.

    Args:
        unit: Open for reading.
        user_id: Whose; from a verified token, or named by an operator.
        currency: ISO 4217 code.
        period: Which; may still be under way.
        after: Where the page before ended; None for the first page.
        limit: Most movements on the page.
        at: Now, UTC.

    Returns:
        Opening and closing of the whole period, and the movements of the page, oldest first. A
        currency or a time in which the user had nothing is shown as zero.

    Raises:
        PeriodNotBegun: all of it lies ahead.
        UserNotKnownYet: the news of the user has not arrived.
        UnknownCurrency: ISO 4217 has no such code.
        PositionNotInPeriod: `after` is not within the period.

    Source: docs/ledger.md, Statements.
    """
    if at < period.begins_at:
        raise PeriodNotBegun("This period has not begun.", field="period")
    if not unit.users.exists(user_id):
        raise UserNotKnownYet("Your wallet is being prepared; please try again.")
    opening = standing_before(unit, user_id=user_id, currency=currency, at=period.begins_at)
    closing = standing_before(unit, user_id=user_id, currency=currency, at=period.ends_at)
    start = opening
    if after is not None:
        start = _standing_at(unit, user_id=user_id, opening=opening, closing=closing, after=after)
    entries = unit.books.entries_between(
        user_id=user_id,
        currency=currency,
        after=start.position,
        up_to=closing.position,
        limit=limit,
    )
    movements = movements_from(start, entries)[:limit]
    last = movements[-1].after if movements else start
    is_last_page = last.position == closing.position
    if is_last_page:
        assert last.balance == closing.balance, "opening and movements make the closing balance"
    elif not movements:
        raise PositionNotInPeriod("This cursor is not of this statement.", field="cursor")
    return Statement(
        period=period,
        opening=opening,
        movements=movements,
        closing=closing,
        provisional=not unit.books.is_final(period.ends_at),
        next_after=None if is_last_page else last.position,
    )


def get_whole_statement(
    unit: WalletUnit, *, user_id: str, currency: str, period: Period, at: datetime
) -> Statement:
    """Return a user's statement with all its movements; see `get_statement`.

    Args:
        unit: Open for reading; all pages are read on its one snapshot.
        user_id: Whose.
        currency: ISO 4217 code.
        period: Which; may still be under way.
        at: Now, UTC.

    Raises:
        PeriodNotBegun: all of it lies ahead.
        UserNotKnownYet: the wallet knows no such user.
        UnknownCurrency: ISO 4217 has no such code.
    """
    movements: list[Movement] = []
    after: Position | None = None
    while True:
        page = get_statement(
            unit,
            user_id=user_id,
            currency=currency,
            period=period,
            after=after,
            limit=_MOVEMENTS_READ_AT_ONCE,
            at=at,
        )
        movements += page.movements
        after = page.next_after
        if after is None:
            return replace(page, movements=movements)


def standing_before(unit: WalletUnit, *, user_id: str, currency: str, at: datetime) -> Standing:
    """Return what a user had just before an instant.

    Args:
        unit: Open for reading.
        user_id: Whose.
        currency: ISO 4217 code.
        at: Timezone-aware; what was booked at this very instant does not count.

    Raises:
        UnknownCurrency: ISO 4217 has no such code.
    """
    nothing = Standing.nothing(currency)
    standings = unit.books.standings_as_of(user_id=user_id, at=at - _SMALLEST_STEP)
    return next((one for one in standings if one.currency == currency), nothing)


def _standing_at(
    unit: WalletUnit, *, user_id: str, opening: Standing, closing: Standing, after: Position
) -> Standing:
    balance = None
    if all(
        first <= asked <= last
        for first, asked, last in zip(
            _versions(opening.position), _versions(after), _versions(closing.position), strict=True
        )
    ):
        balance = unit.books.balance_at(user_id=user_id, currency=opening.currency, position=after)
    if balance is None:
        raise PositionNotInPeriod("This cursor is not of this statement.", field="cursor")
    return Standing(balance, after)


def _versions(position: Position) -> Sequence[int]:
    return (position.available, position.held, position.receivable)
