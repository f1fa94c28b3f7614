"""What the wallet did with a fact about money, and what a person has to look at."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from octoco.money import Money

# Why money lies in suspense that no fact has told of.
ENTERED_BY_OPERATOR: Final = "entered_by_operator"


class Outcome(StrEnum):
    """What became of the money that a fact is about."""

    CREDITED = "credited"
    SUSPENDED = "suspended"
    SETTLED = "settled"
    RELEASED = "released"
    REFUNDED = "refunded"
    CHARGED_BACK = "charged_back"
    REINSTATED = "reinstated"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyFactAnswer:
    """The answer to a fact; a repeat of the fact gets the same one.

    Args:
        fact_key: Names the fact, whatever message carries it.
        money: What the fact said had moved.
        outcome: What the wallet did.
        code: Why, where it did not do what the fact asked for.
        transaction_id: The transaction concerned, if the wallet knows one.
        answered_at: First time, timezone-aware UTC.
    """

    fact_key: str
    money: Money
    outcome: Outcome
    code: str | None
    transaction_id: str | None
    answered_at: datetime


@dataclass(frozen=True, slots=True)
class FeeTold:
    """What was known of the fees of a purchase or payout when a total of them was told.

    Args:
        is_new: Nobody told this total before.
        before: The total that was told last before this one; None if this is the first.
        in_another_currency: The total is in another currency than the one before: it is not kept.
    """

    is_new: bool
    before: Money | None
    in_another_currency: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCase:
    """Something that only a person may decide; opened once for its kind and subject."""

    kind: str
    subject: str
    transaction_id: str | None
    money: Money | None
    detail: str
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class BankAccount:
    """What the wallet knows of a bank account: whose it is, and whether money may go there."""

    id: str
    user_id: str
    is_usable: bool


def purchase_fact_key(purchase_id: str) -> str:
    return f"purchase:{purchase_id}"


def chargeback_fact_key(chargeback_id: str) -> str:
    return f"chargeback:{chargeback_id}"
