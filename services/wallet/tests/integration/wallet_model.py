"""What the wallet must answer and where its transactions must stand, on top of the pure books."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from octoco.money import Money

from .ledger_model import Books, Refused

WAITS_FOR_MONEY: Final = frozenset({"pending", "review", "failed", "cancelled", "expired"})
_UNDER_WAY: Final = frozenset({"pending", "processing"})


class Answer(NamedTuple):
    """What the wallet announces that it did with a fact about money."""

    outcome: str
    code: str | None
    transaction_id: str | None


@dataclass(slots=True)
class Asked:
    """A transaction that a user asked for."""

    kind: str
    user_id: str
    money: Money
    status: str = "pending"


@dataclass(slots=True)
class WalletModel:
    """Users' transactions and the facts that were told about them."""

    books: Books = field(default_factory=Books)
    transactions: dict[str, Asked] = field(default_factory=dict)
    told: dict[str, tuple[Money, Answer]] = field(default_factory=dict)
    fee_totals: dict[str, list[Money]] = field(default_factory=dict)
    frozen: set[str] = field(default_factory=set)
    # What operators decided about withdrawals: True is approved.
    reviewed: dict[str, bool] = field(default_factory=dict)
    # Whom an operator gave a purchase to, and for which of their deposits.
    assigned: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    def paid(
        self, purchase_id: str, transaction_id: str | None, money: Money, *, fee: Money | None
    ) -> Answer:
        answer = self._again(f"purchase:{purchase_id}", money)
        if answer is None:
            answer = self._credit_or_suspend(purchase_id, transaction_id, money)
            self.told[f"purchase:{purchase_id}"] = (money, answer)
        self._tell_fee(purchase_id, fee)
        return answer

    def paid_out(
        self, payout_id: str, transaction_id: str, money: Money, *, fee: Money | None
    ) -> Answer:
        answer = self._again(f"payout:{payout_id}", money)
        if answer is None:
            answer = self._settle(transaction_id, money)
            self.told[f"payout:{payout_id}"] = (money, answer)
        self._tell_fee(payout_id, fee)
        return answer

    def payout_failed(self, transaction_id: str, money: Money) -> Answer:
        key = f"payout_failed:{transaction_id}"
        answer = self._again(key, money)
        if answer is None:
            answer = self._give_back(transaction_id, money)
            self.told[key] = (money, answer)
        return answer

    def close_checkout(self, transaction_id: str, status: str) -> None:
        deposit = self.transactions[transaction_id]
        if deposit.status == "pending":
            deposit.status = status

    def accept_payout(self, transaction_id: str) -> None:
        withdrawal = self.transactions[transaction_id]
        if withdrawal.status == "pending":
            withdrawal.status = "processing"

    def cancel_payout(self, transaction_id: str) -> None:
        withdrawal = self.transactions[transaction_id]
        if withdrawal.status in {"pending", "review"}:
            withdrawal.status = "cancelled"
            self.books.release(transaction_id)

    def withdraw(self, transaction_id: str, user_id: str, money: Money, *, in_review: bool) -> None:
        self.books.open_purse(user_id, money.currency)
        self.books.hold(transaction_id, user_id, money)
        status = "review" if in_review else "pending"
        self.transactions[transaction_id] = Asked("withdrawal", user_id, money, status)

    def why_no_deposit(self, user_id: str) -> str | None:
        return "user_frozen" if user_id in self.frozen else None

    def why_no_withdrawal(self, user_id: str, money: Money) -> str | None:
        if user_id in self.frozen:
            return "user_frozen"
        purse = self.books.purses.get((user_id, money.currency))
        return None if purse and purse.available >= money else "insufficient_funds"

    def cancel_by_user(self, transaction_id: str) -> None:
        withdrawal = self.transactions[transaction_id]
        if withdrawal.status == "review":
            withdrawal.status = "cancelled"
            self.books.release(transaction_id)
        elif withdrawal.status not in {"cancelled", "pending"}:
            raise Refused("transaction_not_cancellable")

    def review(self, transaction_id: str, *, approve: bool) -> None:
        withdrawal = self.transactions[transaction_id]
        if withdrawal.status != "review":
            if self.reviewed.get(transaction_id) is not approve:
                raise Refused("withdrawal_not_in_review")
            return
        if approve and withdrawal.user_id in self.frozen:
            raise Refused("user_frozen")
        self.reviewed[transaction_id] = approve
        withdrawal.status = "pending" if approve else "failed"
        if not approve:
            self.books.release(transaction_id)

    def taken_back(
        self,
        fact_key: str,
        kind: str,
        purchase_id: str,
        money: Money,
        *,
        transaction_id: str | None,
    ) -> Answer:
        """Tell of a refund or a chargeback."""
        answer = self._again(fact_key, money)
        if answer is None:
            origin = self.books.posted[f"purchase:{purchase_id}"]
            if money.currency != origin.money.currency:
                answer = Answer("refused", "currency_mismatch", transaction_id)
            elif money > self.books.left_of(purchase_id):
                answer = Answer("refused", "exceeds_purchase", transaction_id)
            else:
                self.books.take_back(fact_key, kind, money, purchase_id=purchase_id)
                deposit = self._follow(purchase_id)
                outcome = {"refund": "refunded", "chargeback": "charged_back"}[kind]
                answer = Answer(outcome, None, deposit or transaction_id)
            self.told[fact_key] = (money, answer)
        return answer

    def chargeback_won(
        self, chargeback_id: str, purchase_id: str, money: Money, *, transaction_id: str | None
    ) -> Answer:
        fact_key = f"chargeback_reversed:{chargeback_id}"
        answer = self._again(fact_key, money)
        if answer is None:
            key = f"chargeback:{chargeback_id}"
            code = self._why_not_reinstated(key, purchase_id, money)
            if code is not None:
                answer = Answer("refused", code, transaction_id)
            else:
                self.books.reverse(key)
                answer = Answer("reinstated", None, self._follow(purchase_id) or transaction_id)
            self.told[fact_key] = (money, answer)
        return answer

    def assign(self, purchase_id: str, user_id: str, deposit_id: str | None) -> None:
        """Let an operator give a user what lies in suspense.

        Raises:
            Refused: as the wallet must refuse it.
        """
        books = self.books
        if f"purchase:{purchase_id}" not in books.posted:
            raise Refused("purchase_not_booked")
        left = books.left_of(purchase_id)
        owner = books.owner_of(purchase_id)
        if (
            owner is not None
            and owner == user_id
            and self.assigned.get(purchase_id)
            == (
                user_id,
                deposit_id,
            )
        ):
            return
        if owner is not None or not left.is_positive:
            raise Refused("already_assigned")
        deposit = None if deposit_id is None else self.transactions[deposit_id]
        if deposit is not None and (
            deposit.kind != "deposit"
            or (deposit.user_id, deposit.money) != (user_id, left)
            or deposit.status not in WAITS_FOR_MONEY
        ):
            raise Refused("deposit_does_not_fit")
        if books.is_disputed(purchase_id):
            raise Refused("exceeds_purchase")
        key = f"suspense_end:{purchase_id}"
        books.credit(key, "suspense_assignment", user_id, left, subject=purchase_id)
        self.assigned[purchase_id] = (user_id, deposit_id)
        if deposit is not None:
            deposit.status = "completed"
        waiting = self._waiting_for(purchase_id)
        if waiting is not None and waiting is not deposit and waiting.status == "review":
            waiting.status = "failed"

    def enter(self, reference: str, money: Money) -> None:
        """Let an operator enter money that nobody told of."""
        key = f"purchase:{reference}"
        if key in self.books.posted:
            raise Refused("already_booked")
        moves = {"provider_clearing": -money, "suspense": money}
        self.books.sort(key, "suspense", money, subject=reference, moves=moves)
        self.told[key] = (money, Answer("suspended", "entered_by_operator", None))

    def undo_entry(self, reference: str) -> None:
        key = f"purchase:{reference}"
        if key not in self.books.posted:
            raise Refused("purchase_not_booked")
        if self.told[key][1].code != "entered_by_operator":
            raise Refused("transfer_not_reversible")
        self.books.reverse(key)

    def _waiting_for(self, purchase_id: str) -> Asked | None:
        _, answer = self.told[f"purchase:{purchase_id}"]
        return self.transactions.get(answer.transaction_id or "")

    def _follow(self, purchase_id: str) -> str | None:
        """Let the deposit show what has gone back; return it, if it is one."""
        books = self.books
        if books.owner_of(purchase_id) is None:
            waiting = self._waiting_for(purchase_id)
            if books.left_of(purchase_id).is_positive or waiting is None:
                return None
            if waiting.status != "review":
                return None
            waiting.status = "failed"
            return self.told[f"purchase:{purchase_id}"][1].transaction_id
        if purchase_id in self.assigned:
            deposit_id = self.assigned[purchase_id][1]
        else:
            deposit_id = self.told[f"purchase:{purchase_id}"][1].transaction_id
        if deposit_id is not None:
            self.transactions[deposit_id].status = self._status_shown_by(purchase_id)
        return deposit_id

    def _status_shown_by(self, purchase_id: str) -> str:
        came_in = self.books.posted[f"purchase:{purchase_id}"].money
        gone = {"refund": Money.zero(came_in.currency), "chargeback": Money.zero(came_in.currency)}
        for key, one in self.books.posted.items():
            if one.subject == purchase_id and one.kind in gone and not self.books.is_undone(key):
                gone[one.kind] += one.money
        if gone["chargeback"].is_positive:
            return "reversed"
        if gone["refund"] == came_in:
            return "refunded"
        return "partially_refunded" if gone["refund"].is_positive else "completed"

    def _why_not_reinstated(self, key: str, purchase_id: str, money: Money) -> str | None:
        booked = self.books.posted.get(key)
        if booked is None:
            return "chargeback_not_booked"
        if booked.subject != purchase_id:
            return "purchase_mismatch"
        if booked.money.currency != money.currency:
            return "currency_mismatch"
        return None if booked.money == money else "amount_mismatch"

    def _again(self, fact_key: str, money: Money) -> Answer | None:
        if fact_key not in self.told:
            return None
        first, answer = self.told[fact_key]
        if first == money:
            return answer
        return Answer("refused", "business_key_reused", answer.transaction_id)

    def _credit_or_suspend(
        self, purchase_id: str, transaction_id: str | None, money: Money
    ) -> Answer:
        deposit = self.transactions.get(transaction_id or "")
        if deposit is not None and deposit.kind != "deposit":
            deposit = None
        code = _why_not_credited(deposit, money)
        key = f"purchase:{purchase_id}"
        if deposit is None or code is not None:
            moves = {"provider_clearing": -money, "suspense": money}
            self.books.sort(key, "suspense", money, subject=purchase_id, moves=moves)
            if deposit is not None and deposit.status == "pending":
                deposit.status = "review"
            return Answer("suspended", code, transaction_id)
        self.books.credit(key, "deposit", deposit.user_id, money, subject=purchase_id)
        deposit.status = "completed"
        return Answer("credited", None, transaction_id)

    def _settle(self, transaction_id: str, money: Money) -> Answer:
        withdrawal = self.transactions.get(transaction_id)
        code = _why_no_payout(withdrawal, money)
        if withdrawal is not None and code is None:
            if withdrawal.status in {"failed", "cancelled"}:
                code = "hold_already_released"
            elif withdrawal.status not in _UNDER_WAY:
                code = "hold_already_settled"
        if withdrawal is None or code is not None:
            return Answer("refused", code, transaction_id)
        withdrawal.status = "completed"
        self.books.settle(transaction_id, money)
        return Answer("settled", None, transaction_id)

    def _give_back(self, transaction_id: str, money: Money) -> Answer:
        withdrawal = self.transactions.get(transaction_id)
        code = _why_no_payout(withdrawal, money)
        if withdrawal is not None and code is None and withdrawal.status == "completed":
            code = "hold_already_settled"
        if withdrawal is None or code is not None:
            return Answer("refused", code, transaction_id)
        if withdrawal.status in {*_UNDER_WAY, "review"}:
            withdrawal.status = "failed"
            self.books.release(transaction_id)
        return Answer("released", None, transaction_id)

    def _tell_fee(self, subject: str, fee: Money | None) -> None:
        if fee is None:
            return
        totals = self.fee_totals.setdefault(subject, [])
        if (totals and totals[0].currency != fee.currency) or fee in totals:
            return
        self.books.fee(subject, fee, before=totals[-1] if totals else None)
        totals.append(fee)


def _why_not_credited(deposit: Asked | None, money: Money) -> str | None:
    if deposit is None:
        return "unknown_transaction"
    if deposit.money.currency != money.currency:
        return "currency_mismatch"
    if deposit.money != money:
        return "amount_mismatch"
    if deposit.status not in WAITS_FOR_MONEY:
        return "already_credited"
    return None


def _why_no_payout(withdrawal: Asked | None, money: Money) -> str | None:
    if withdrawal is None or withdrawal.kind != "withdrawal":
        return "unknown_transaction"
    if withdrawal.money.currency != money.currency:
        return "currency_mismatch"
    if withdrawal.money != money:
        return "amount_mismatch"
    return None
