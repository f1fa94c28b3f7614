"""Statements: what a user had, what moved it, and what they had then."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from octoco.money import Money
from wallet.domain.errors import InvalidPeriod
from wallet.domain.ledger import Balance

_MONTH: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])", re.ASCII)
_MONTHS_OF_A_YEAR: Final = 12
_FIRST_YEAR: Final = 1970


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time.

    Args:
        begins_at: Belongs to it; timezone-aware UTC.
        ends_at: Belongs to what follows; timezone-aware UTC.

    Raises:
        InvalidPeriod: it does not end after it begins, or begins before 1970.
    """

    begins_at: datetime
    ends_at: datetime

    def __post_init__(self) -> None:
        if not self.begins_at < self.ends_at:
            raise InvalidPeriod("A period ends after it begins.", field="period")
        if self.begins_at.year < _FIRST_YEAR:
            raise InvalidPeriod(f"No period begins before {_FIRST_YEAR}.", field="period")

    @classmethod
    def month(cls, text: str) -> "Period":
        """Return a month of UTC.

        Args:
            text: Year and month, such as `2026-11`.

        Raises:
            InvalidPeriod: the text names no month, or one before 1970.
        """
        found = _MONTH.fullmatch(text)
        try:
            if found is None:
                raise ValueError(text)
            year, month = int(found[1]), int(found[2])
            begins_at = datetime(year, month, 1, tzinfo=UTC)
            year, month = (year + 1, 1) if month == _MONTHS_OF_A_YEAR else (year, month + 1)
            return cls(begins_at, datetime(year, month, 1, tzinfo=UTC))
        except ValueError:
            raise InvalidPeriod(
                "A period is a year and a month, such as 2026-11.", field="period"
            ) from None


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a user's history: the last entry of each of their three ledger accounts."""

    available: int
    held: int
    receivable: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What a user had in one currency, and where in their history that was."""

    balance: Balance
    position: Position

    @property
    def currency(self) -> str:
        return self.balance.currency

    @classmethod
    def nothing(cls, currency: str) -> "Standing":
        """Return how everybody begins.

        Raises:
            UnknownCurrency: ISO 4217 has no such code.
        """
        zero = Money.zero(currency)
        return cls(Balance(zero, zero, zero), Position(0, 0, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class UserEntry:
    """One leg of a transfer, at one of a user's ledger accounts.

    Args:
        transfer_id: Whose leg.
        account: `available`, `held` or `receivable`.
        version: Its number along the ledger account, from 1.
        change: By how much the balance moved; a receivable grows when more is owed.
        balance_after: Of the ledger account.
        booked_at: When it was booked, timezone-aware UTC.
        effective_at: When it became true outside, timezone-aware UTC.
        kind: Of the transfer.
        legs: How many of the transfer's legs are at ledger accounts of the user.
        transaction_id: The user's transaction it is about, if there is one.
    """

    transfer_id: int
    account: str
    version: int
    change: Money
    balance_after: Money
    booked_at: datetime
    effective_at: datetime
    kind: str
    legs: int
    transaction_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """All that one transfer did to a user's money in one currency.

    Args:
        transfer_id: Which transfer.
        booked_at: When it was booked, timezone-aware UTC.
        effective_at: When it became true outside, timezone-aware UTC.
        kind: Of the transfer.
        transaction_id: The user's transaction it is about, if there is one.
        change: By how much it moved each of the three balances; any sign.
        after: What the user had then, and where in their history that is.
    """

    transfer_id: int
    booked_at: datetime
    effective_at: datetime
    kind: str
    transaction_id: str | None
    change: Balance
    after: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A page of a user's statement; opening and closing are always those of the whole period.

    Args:
        period: Which.
        opening: What the user had when the period began.
        movements: Those of this page, in the order they were booked in.
        closing: What the user had when the period ended, or has by now.
        provisional: True while something may still be booked in the period, or be committed late.
        next_after: Where the next page begins; None when this is the last.
    """

    period: Period
    opening: Standing
    movements: Sequence[Movement]
    closing: Standing
    provisional: bool
    next_after: Position | None


@dataclass(frozen=True, slots=True)
class KindBalance:
    """The sum of all entries of one kind of ledger account in one currency.

    Args:
        kind: Of the system there is one account of a kind and currency; of users, many.
        balance: Signed: what the business owes is above zero, what it has or is owed below.
        entries: How many were summed.
    """

    kind: str
    balance: Money
    entries: int


def movements_from(start: Standing, entries: Sequence[UserEntry]) -> Sequence[Movement]:
    """Put a user's entries together again into the transfers they are legs of.

    The order is the one they were booked in: each entry follows the one before it along its own
    ledger account, whatever the clock or the numbers of transfers say. Where transfers share no
    ledger account, the earlier one goes first.

    Args:
        start: Where the entries begin.
        entries: Of one user and currency, by version, without a gap after `start`. A transfer
            whose legs are not all among them, because a page ends there, is left for the next.

    Returns:
        Each with the balances after it, which are checked against those the entries keep.
    """
    waiting = {
        account: [entry for entry in entries if entry.account == account]
        for account in ("available", "held", "receivable")
    }
    for own in waiting.values():
        own.sort(key=lambda entry: entry.version, reverse=True)
    legs: dict[int, list[UserEntry]] = {}
    for entry in entries:
        legs.setdefault(entry.transfer_id, []).append(entry)
    movements: list[Movement] = []
    standing = start
    while heads := [own[-1] for own in waiting.values() if own]:
        ready = [
            entry
            for entry in heads
            if len(legs[entry.transfer_id]) == entry.legs
            and all(waiting[leg.account][-1] is leg for leg in legs[entry.transfer_id])
        ]
        if not ready:
            break
        chosen = min(ready, key=lambda entry: (entry.booked_at, entry.transfer_id))
        movement = _movement(standing, legs[chosen.transfer_id])
        for leg in legs[chosen.transfer_id]:
            waiting[leg.account].pop()
        movements.append(movement)
        standing = movement.after
    return movements


def _movement(before: Standing, legs: Sequence[UserEntry]) -> Movement:
    zero = Money.zero(before.currency)
    change, balance, position = Balance(zero, zero, zero), before.balance, before.position
    for leg in legs:
        after: Money = getattr(balance, leg.account) + leg.change
        assert after == leg.balance_after, f"the balance after transfer {leg.transfer_id}"
        assert leg.version == getattr(position, leg.account) + 1, "a gap in versions"
        change = replace(change, **{leg.account: leg.change})
        balance = replace(balance, **{leg.account: after})
        position = replace(position, **{leg.account: leg.version})
    first = legs[0]
    return Movement(
        transfer_id=first.transfer_id,
        booked_at=first.booked_at,
        effective_at=first.effective_at,
        kind=first.kind,
        transaction_id=first.transaction_id,
        change=change,
        after=Standing(balance, position),
    )
