"""What the wallet's books must be after anything that may happen to them: small, pure, obvious.

It knows no key that posts once, no lock and no SQL; it keeps what was booked in a dictionary by
business key. Where it differs from the wallet, one of the two is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from octoco.money import Money

System = Mapping[str, Money]
NOBODY: Final = None


class Refused(Exception):
    """The wallet must refuse with this code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Purse:
    """What one user has and owes in one currency."""

    available: Money
    held: Money
    receivable: Money

    @classmethod
    def empty(cls, currency: str) -> "Purse":
        return cls(*(Money.zero(currency) for _ in range(3)))

    def give(self, money: Money) -> None:
        repaid = min(money, self.receivable)
        self.receivable -= repaid
        self.available += money - repaid

    def take(self, money: Money, *, may_owe: bool) -> None:
        if money > self.available and not may_owe:
            raise Refused("insufficient_funds")
        taken = min(money, self.available)
        self.available -= taken
        self.receivable += money - taken


@dataclass(frozen=True, slots=True)
class Posted:
    """A transfer, with what it gave (above zero) to its user and to the system's accounts."""

    kind: str
    user_id: str | None
    money: Money
    subject: str
    own: Money
    system: tuple[tuple[str, Money], ...] = ()


@dataclass(slots=True)
class Hold:
    user_id: str
    money: Money
    ended: str | None = None


@dataclass(slots=True)
class Books:
    """The ledger: purses, system accounts, holds, and what each business key has posted."""

    purses: dict[tuple[str, str], Purse] = field(default_factory=dict)
    system: dict[tuple[str, str], Money] = field(default_factory=dict)
    posted: dict[str, Posted] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)

    def open_purse(self, user_id: str, currency: str) -> None:
        self.purses.setdefault((user_id, currency), Purse.empty(currency))

    def purse(self, user_id: str, currency: str) -> Purse:
        if (user_id, currency) not in self.purses:
            raise Refused("ledger_account_not_found")
        return self.purses[user_id, currency]

    def is_undone(self, key: str) -> bool:
        return f"reversal:{key}" in self.posted

    def credit(self, key: str, kind: str, user_id: str, money: Money, *, subject: str) -> None:
        """Give a user money that came in, or lay in suspense."""
        source = "suspense" if kind == "suspense_assignment" else "provider_clearing"
        self._book(key, Posted(kind, user_id, money, subject, money, ((source, -money),)))

    def sort(self, key: str, kind: str, money: Money, *, subject: str, moves: System) -> None:
        """Move money between system accounts."""
        nothing = Money.zero(money.currency)
        self._book(key, Posted(kind, NOBODY, money, subject, nothing, tuple(moves.items())))

    def fee(self, subject: str, total: Money, *, before: Money | None) -> None:
        change = total if before is None else total - before
        if change.is_zero:
            return
        kind = "fee" if change.is_positive else "fee_return"
        self.sort(
            f"fee:{subject}:{total.amount_text}",
            kind,
            change if change.is_positive else -change,
            subject=subject,
            moves={"provider_fees": -change, "provider_clearing": change},
        )

    def adjust(self, adjustment_id: str, user_id: str, money: Money) -> None:
        """Give (above zero) or take (below zero) by hand."""
        amount = money if money.is_positive else -money
        legs = (("adjustments", -money),)
        key = f"adjustment:{adjustment_id}"
        self._book(key, Posted("adjustment", user_id, amount, adjustment_id, money, legs))

    def hold(self, subject: str, user_id: str, money: Money) -> None:
        key = f"hold:{subject}"
        if not self._repeats(key, Posted("hold", user_id, money, subject, -money)):
            purse = self.purse(user_id, money.currency)
            purse.take(money, may_owe=False)
            purse.held += money
            self.posted[key] = Posted("hold", user_id, money, subject, -money)
            self.holds[subject] = Hold(user_id, money)

    def settle(self, subject: str, money: Money) -> None:
        self._end(subject, "settlement", money)

    def release(self, subject: str) -> None:
        self._end(subject, "release", None)

    def reverse(self, key: str) -> None:
        original = self.posted.get(key)
        if original is None:
            raise Refused("transfer_not_found")
        if not original.system or original.kind in {"reversal", "adjustment"}:
            raise Refused("transfer_not_reversible")
        if not self.is_undone(key) and self._has_gone_on(key, original):
            raise Refused("exceeds_purchase")
        undone = tuple((account, -money) for account, money in original.system)
        self._book(
            f"reversal:{key}",
            Posted(
                "reversal",
                original.user_id,
                original.money,
                original.subject,
                -original.own if original.kind != "settlement" else original.money,
                undone,
            ),
            may_owe=True,
        )

    def take_back(self, key: str, kind: str, money: Money, *, purchase_id: str) -> None:
        """Refund or charge back money of a purchase, from whoever has it."""
        origin = self.posted.get(f"purchase:{purchase_id}")
        if origin is None:
            raise Refused("purchase_not_booked")
        if origin.money.currency != money.currency:
            raise Refused("business_key_reused")
        user_id = self.owner_of(purchase_id)
        if key not in self.posted and money > self.left_of(purchase_id):
            raise Refused("exceeds_purchase")
        if user_id is None:
            moves = {"suspense": -money, "provider_clearing": money}
            self.sort(key, kind, money, subject=purchase_id, moves=moves)
        else:
            legs = (("provider_clearing", money),)
            self._book(key, Posted(kind, user_id, money, purchase_id, -money, legs), may_owe=True)

    def owner_of(self, purchase_id: str) -> str | None:
        """Say who was credited with a purchase; None while it lies in suspense."""
        assignment = f"suspense_end:{purchase_id}"
        if assignment in self.posted and not self.is_undone(assignment):
            return self.posted[assignment].user_id
        return self.posted[f"purchase:{purchase_id}"].user_id

    def left_of(self, purchase_id: str) -> Money:
        """Say how much of a purchase was not taken back."""
        origin = self.posted[f"purchase:{purchase_id}"]
        left = origin.money
        for key, one in self._later(purchase_id).items():
            if one.kind in {"refund", "chargeback"} and not self.is_undone(key):
                left -= one.money
        if self.is_undone(f"purchase:{purchase_id}"):
            left = Money.zero(left.currency)
        return left

    def is_disputed(self, purchase_id: str) -> bool:
        """Say whether a chargeback stands against a purchase."""
        return any(
            one.kind == "chargeback" and not self.is_undone(key)
            for key, one in self._later(purchase_id).items()
        )

    def _later(self, purchase_id: str) -> dict[str, Posted]:
        kinds = {"refund", "chargeback", "suspense_assignment"}
        return {
            key: one
            for key, one in self.posted.items()
            if one.subject == purchase_id and one.kind in kinds
        }

    def _has_gone_on(self, key: str, original: Posted) -> bool:
        if original.kind not in {"deposit", "suspense", "suspense_assignment"}:
            return False
        later = self._later(original.subject)
        return any(other != key and not self.is_undone(other) for other in later)

    def _end(self, subject: str, kind: str, settled: Money | None) -> None:
        hold = self.holds.get(subject)
        if hold is None:
            raise Refused("hold_not_found")
        if hold.ended not in {None, kind}:
            raise Refused(f"hold_already_{'released' if hold.ended == 'release' else 'settled'}")
        if settled is not None and settled > hold.money:
            raise Refused("invalid_amount")
        rest = hold.money if settled is None else hold.money - settled
        legs = () if settled is None else (("provider_clearing", settled),)
        key = f"hold_end:{subject}"
        posted = Posted(kind, hold.user_id, settled or hold.money, subject, rest, legs)
        if not self._repeats(key, posted):
            purse = self.purse(hold.user_id, hold.money.currency)
            purse.held -= hold.money
            hold.ended = kind
            self._book(key, posted)

    def _repeats(self, key: str, asked: Posted) -> bool:
        stored = self.posted.get(key)
        if stored is None:
            return False
        if (stored.kind, stored.user_id, stored.money, stored.subject) != (
            asked.kind,
            asked.user_id,
            asked.money,
            asked.subject,
        ):
            raise Refused("business_key_reused")
        return True

    def _book(self, key: str, asked: Posted, *, may_owe: bool = False) -> None:
        if self._repeats(key, asked):
            return
        if asked.user_id is not None and not asked.own.is_zero:
            purse = self.purse(asked.user_id, asked.money.currency)
            if asked.own.is_positive:
                purse.give(asked.own)
            else:
                purse.take(-asked.own, may_owe=may_owe)
        for account, money in asked.system:
            where = (account, money.currency)
            self.system[where] = self.system.get(where, Money.zero(money.currency)) + money
        self.posted[key] = asked
