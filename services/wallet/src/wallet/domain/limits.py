"""How much a user may move, how often, and above what a person looks at it first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from octoco.money import Money
from wallet.domain.errors import CurrencyNotOffered, LimitExceeded
from wallet.domain.roles import Role

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(hours=24)
# Any 30 days, not a calendar month: nobody may move two months' worth around midnight.
MONTH: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Counted:
    """Transactions that count against the limits; one, or what was counted within an hour.

    Args:
        at: When the last of them was asked for, timezone-aware UTC.
        money: Their sum.
        count: How many.
    """

    at: datetime
    money: Money
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What bounds transactions of one kind, by currency.

    A currency that `per_transaction` does not name is not offered. Elsewhere None, or a currency
    that is not named, means no bound.

    Args:
        per_transaction: Largest single transaction.
        per_hour: Most transactions within any hour.
        per_day: Largest sum within any 24 hours.
        per_month: Largest sum within any 30 days.
        review_above: A transaction of more than this waits for an operator; withdrawals only.
    """

    per_transaction: Mapping[str, Money | None] = field(default_factory=dict)
    per_hour: Mapping[str, int | None] = field(default_factory=dict)
    per_day: Mapping[str, Money | None] = field(default_factory=dict)
    per_month: Mapping[str, Money | None] = field(default_factory=dict)
    review_above: Mapping[str, Money | None] = field(default_factory=dict)

    @property
    def currencies(self) -> Iterable[str]:
        """The ISO 4217 codes of the currencies that are offered."""
        return self.per_transaction.keys()

    def overridden_by(self, other: "Bounds") -> "Bounds":
        """Return these bounds with whatever the others name in their place."""
        return Bounds(
            per_transaction={**self.per_transaction, **other.per_transaction},
            per_hour={**self.per_hour, **other.per_hour},
            per_day={**self.per_day, **other.per_day},
            per_month={**self.per_month, **other.per_month},
            review_above={**self.review_above, **other.review_above},
        )

    def require_within(
        self, money: Money, *, what: str, counted: Sequence[Counted], at: datetime
    ) -> None:
        """Let a transaction pass that is within the bounds, together with those that count.

        Args:
            money: What is asked for.
            what: A word for people: `deposit` or `withdrawal`.
            counted: The user's own of this kind and currency in the last 30 days that neither
                failed nor were cancelled; read under the user's lock.
            at: Now, UTC.

        Raises:
            CurrencyNotOffered: the currency has no bounds.
            LimitExceeded: more than one transaction may be, or those of an hour, 24 hours or 30
                days; it names the first limit in this order, and what is left of it.
        """
        currency = money.currency
        if currency not in self.per_transaction:
            raise CurrencyNotOffered(
                f"{currency} is not offered.", field="currency", currency=currency
            )
        _require_small(money, what=what, limit=self.per_transaction[currency])
        _require_seldom(what=what, limit=self.per_hour.get(currency), counted=counted, at=at)
        for name, window, words, limits in (
            ("per_day", DAY, "24 hours", self.per_day),
            ("per_month", MONTH, "30 days", self.per_month),
        ):
            limit = limits.get(currency)
            if limit is not None:
                _require_sum(
                    money,
                    name=name,
                    words=f"the {what}s of {words}",
                    limit=limit,
                    window=window,
                    counted=counted,
                    at=at,
                )

    def need_review(self, money: Money) -> bool:
        """Say whether a person is to look at a transaction before it goes on."""
        threshold = self.review_above.get(money.currency)
        return threshold is not None and money > threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one user may move.

    Args:
        deposits: The bounds of deposits.
        withdrawals: The bounds of withdrawals.
        by_role: What differs for users with a role. Of several roles the most trusted one that
            names a bound decides it, whether it is wider or narrower.
    """

    deposits: Bounds
    withdrawals: Bounds
    by_role: Mapping[Role, "Limits"] = field(default_factory=dict)

    def for_roles(self, roles: Iterable[str]) -> "Limits":
        """Return the limits of a user with these roles; roles that nobody knows count nothing."""
        held = set(roles)
        deposits, withdrawals = self.deposits, self.withdrawals
        # From the least to the most trusted: what is named last stays.
        for role in Role:
            if role.value in held and role in self.by_role:
                deposits = deposits.overridden_by(self.by_role[role].deposits)
                withdrawals = withdrawals.overridden_by(self.by_role[role].withdrawals)
        return Limits(deposits=deposits, withdrawals=withdrawals)


def _require_small(money: Money, *, what: str, limit: Money | None) -> None:
    if limit is not None and money > limit:
        raise LimitExceeded(
            f"The limit for a {what} is {limit}.",
            field="amount",
            limit_name="per_transaction",
            limit=limit.amount_text,
            left=limit.amount_text,
        )


def _require_seldom(
    *, what: str, limit: int | None, counted: Sequence[Counted], at: datetime
) -> None:
    if limit is None:
        return
    within = [one for one in counted if one.at > at - HOUR]
    used = sum(one.count for one in within)
    if used < limit:
        return
    raise LimitExceeded(
        f"No more than {limit} {what}s are possible within an hour.",
        limit_name="per_hour",
        limit=limit,
        left=0,
        **_possible_again(
            [(one.at, Decimal(one.count)) for one in within],
            window=HOUR,
            too_much=Decimal(used - limit + 1),
        ),
    )


def _require_sum(
    money: Money,
    *,
    name: str,
    words: str,
    limit: Money,
    window: timedelta,
    counted: Sequence[Counted],
    at: datetime,
) -> None:
    within = [one for one in counted if one.at > at - window]
    used = sum((one.money.amount for one in within), start=Decimal(0))
    if used + money.amount <= limit.amount:
        return
    left = max(limit.amount - used, Decimal(0))
    raise LimitExceeded(
        f"The limit for {words} is {limit}.",
        field="amount",
        limit_name=name,
        limit=limit.amount_text,
        left=Money(left, limit.currency).amount_text,
        **_possible_again(
            [(one.at, one.money.amount) for one in within],
            window=window,
            too_much=used + money.amount - limit.amount,
        ),
    )


def _possible_again(
    within: Sequence[tuple[datetime, Decimal]], *, window: timedelta, too_much: Decimal
) -> Mapping[str, str]:
    # The oldest leave the window first. What does not fit an empty window never fits.
    for at, weight in sorted(within):
        too_much -= weight
        if too_much <= 0:
            again_at = (at + window).astimezone(UTC)
            return {"possible_again_at": again_at.isoformat().replace("+00:00", "Z")}
    return {}
