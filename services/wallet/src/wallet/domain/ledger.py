"""The ledger's nouns: postings, what was booked, balances."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from octoco.money import Money


class PostingKind(StrEnum):
    """Movements between the provider, the system's accounts and a user's own money."""

    DEPOSIT = "deposit"
    CHARGEBACK = "chargeback"
    FEE = "fee"
    SUSPENSE = "suspense"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One movement to be booked, once.

    Args:
        business_key: Posts once, forever: `purchase:<id>`, `fee:<id>`.
        kind: Between which accounts.
        user_id: Whose money it is; None for movements between system accounts.
        money: How much, above zero.
        subject: What it is about: a purchase, a payout or a transaction.
        effective_at: When it became true outside, timezone-aware UTC.
    """

    business_key: str
    kind: PostingKind
    user_id: str | None
    money: Money
    subject: str
    effective_at: datetime


@dataclass(frozen=True, slots=True)
class Booked:
    """What a booking left behind.

    Args:
        repeated: True if the business key had posted before: nothing was moved now.
        balance: The user's balance after it; None where no user is concerned.
    """

    repeated: bool
    balance: "Balance | None"


@dataclass(frozen=True, slots=True)
class Balance:
    """A user's money in one currency.

    Args:
        available: May be spent.
        held: Set aside for withdrawals under way.
        receivable: What the user owes; the next credits repay it first.
    """

    available: Money
    held: Money
    receivable: Money

    @property
    def currency(self) -> str:
        return self.available.currency


@dataclass(frozen=True, slots=True)
class Transfer:
    """A movement that the ledger holds."""

    business_key: str
    kind: str
    user_id: str | None
    money: Money
    subject: str
