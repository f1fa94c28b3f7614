"""The ledger port in memory: a small model of the kernel, held to the same rules by one suite."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from octoco.errors import Refusal
from octoco.events import OutboundMessage
from octoco.money import InvalidAmount, Money
from octoco.ports import Outbox
from wallet.domain.errors import (
    BusinessKeyReused,
    ExceedsPurchase,
    HoldAlreadyReleased,
    HoldAlreadySettled,
    HoldNotFound,
    InsufficientFunds,
    LedgerAccountNotFound,
    PurchaseNotBooked,
    TransferNotFound,
    TransferNotReversible,
)
from wallet.domain.ledger import (
    Balance,
    Booked,
    Posting,
    PostingKind,
    PurchaseMoney,
    SuspendedPurchase,
    Transfer,
)

# What each kind takes from (below zero) and gives to the user's own money and system accounts.
_LEGS: Final[Mapping[PostingKind, Mapping[str, int]]] = {
    PostingKind.DEPOSIT: {"provider_clearing": -1, "own": 1},
    PostingKind.REFUND: {"own": -1, "provider_clearing": 1},
    PostingKind.CHARGEBACK: {"own": -1, "provider_clearing": 1},
    PostingKind.FEE: {"provider_fees": -1, "provider_clearing": 1},
    PostingKind.FEE_RETURN: {"provider_clearing": -1, "provider_fees": 1},
    PostingKind.SUSPENSE: {"provider_clearing": -1, "suspense": 1},
    PostingKind.SUSPENSE_ASSIGNMENT: {"suspense": -1, "own": 1},
}
_TAKES_BACK: Final = frozenset({PostingKind.REFUND, PostingKind.CHARGEBACK})


@dataclass(slots=True)
class _Booking:
    transfer: Transfer
    own: Decimal
    system: dict[str, Decimal]


class MemoryLedger:
    """See `wallet.use_cases.ports.Ledger`.

    Args:
        outbox: Takes what a booking announces.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._accounts: dict[tuple[str, str], dict[str, Decimal]] = {}
        self._bookings: dict[str, _Booking] = {}
        self._holds: dict[str, Transfer] = {}
        self._ends: dict[str, str] = {}
        self._effective_at: dict[str, datetime] = {}
        self.system: dict[tuple[str, str], Decimal] = {}

    def open_accounts(self, *, user_id: str, currency: str) -> None:
        zero = dict.fromkeys(("available", "held", "receivable"), Decimal(0))
        self._accounts.setdefault((user_id, currency), zero)

    def post(self, posting: Posting, *, announcing: Sequence[OutboundMessage] = ()) -> Booked:
        user_id = posting.user_id
        if posting.kind in _TAKES_BACK or posting.kind is PostingKind.SUSPENSE_ASSIGNMENT:
            user_id = self._owner_bound_by_purchase(posting)
        legs = {
            account: posting.money.amount * sign for account, sign in _LEGS[posting.kind].items()
        }
        own = legs.pop("own", Decimal(0))
        if posting.kind in _TAKES_BACK and user_id is None:
            own, legs["suspense"] = Decimal(0), own
        self._effective_at.setdefault(posting.business_key, posting.effective_at)
        return self._book(
            Transfer(
                posting.business_key, posting.kind.value, user_id, posting.money, posting.subject
            ),
            own=own,
            system=legs,
            may_owe=posting.kind in _TAKES_BACK,
            announcing=announcing,
        )

    def post_all(
        self,
        postings: Sequence[Posting],
        *,
        announcing: Sequence[OutboundMessage | None] = (),
    ) -> Sequence[Booked]:
        before = deepcopy((self._accounts, self._bookings, self._ends, self.system))
        messages = announcing or [None] * len(postings)
        try:
            return [
                self._post_one(posting, [message] if message else [])
                for posting, message in zip(postings, messages, strict=True)
            ]
        except Refusal:
            self._accounts, self._bookings, self._ends, self.system = before
            raise

    def _post_one(self, posting: Posting, announcing: Sequence[OutboundMessage]) -> Booked:
        if posting.kind is not PostingKind.SETTLEMENT:
            return self.post(posting, announcing=announcing)
        hold = self._holds.get(posting.subject)
        ended = self._ends.get(posting.subject)
        whole = hold is not None and (hold.money, hold.user_id) == (posting.money, posting.user_id)
        if ended is None and not whole:
            raise HoldNotFound("Nothing is held for this transaction.")
        if ended == "release" or not whole:
            raise BusinessKeyReused("This was booked before as something else.")
        return self.settle_hold(
            transaction_id=posting.subject,
            money=posting.money,
            effective_at=posting.effective_at,
            announcing=announcing,
        )

    def purchase(self, purchase_id: str) -> PurchaseMoney | None:
        origin = self._bookings.get(f"purchase:{purchase_id}")
        if origin is None:
            return None
        zero = Money.zero(origin.transfer.money.currency)
        later = [
            booking.transfer
            for key, booking in self._bookings.items()
            if booking.transfer.subject == purchase_id and f"reversal:{key}" not in self._bookings
        ]

        def total(kind: PostingKind) -> Money:
            return sum((one.money for one in later if one.kind == kind.value), start=zero)

        given_to = [
            one.user_id for one in later if one.kind == PostingKind.SUSPENSE_ASSIGNMENT.value
        ]
        return PurchaseMoney(
            purchase_id=purchase_id,
            user_id=origin.transfer.user_id or (given_to[0] if given_to else None),
            came_in=origin.transfer.money,
            refunded=total(PostingKind.REFUND),
            charged_back=total(PostingKind.CHARGEBACK),
            is_undone=f"reversal:purchase:{purchase_id}" in self._bookings,
        )

    def in_suspense(self, *, after: int, limit: int) -> Sequence[SuspendedPurchase]:
        found = []
        for place, (key, booking) in enumerate(self._bookings.items(), start=1):
            if booking.transfer.kind != PostingKind.SUSPENSE.value:
                continue
            purchase = self.purchase(key.removeprefix("purchase:"))
            if purchase is None or purchase.user_id is not None or not purchase.left.is_positive:
                continue
            found.append(
                SuspendedPurchase(
                    place=place,
                    purchase_id=purchase.purchase_id,
                    came_in=purchase.came_in,
                    left=purchase.left,
                    effective_at=self._effective_at[key],
                    booked_at=self._effective_at[key],
                )
            )
        return [one for one in found if one.place > after][:limit]

    def _owner_bound_by_purchase(self, posting: Posting) -> str | None:
        purchase = self.purchase(posting.subject)
        stored = self._bookings.get(posting.business_key)
        if purchase is None or (
            posting.kind is PostingKind.SUSPENSE_ASSIGNMENT
            and self._bookings[f"purchase:{posting.subject}"].transfer.user_id is not None
        ):
            raise PurchaseNotBooked("Nothing is booked for this purchase.")
        if posting.money.currency != purchase.came_in.currency:
            raise BusinessKeyReused("This was booked before as something else.")
        if stored is not None:
            # A repeat is told what was taken then, whoever has the purchase's money by now.
            return posting.user_id or stored.transfer.user_id
        if posting.kind is PostingKind.SUSPENSE_ASSIGNMENT:
            settled = purchase.user_id is None and not purchase.charged_back.is_positive
            if not settled or posting.money != purchase.left:
                raise ExceedsPurchase("This is not what is left of the purchase.")
            return posting.user_id
        if posting.money > purchase.left:
            raise ExceedsPurchase("This is more than is left of the purchase.")
        return purchase.user_id

    def adjust(self, *, adjustment_id: str, user_id: str, money: Money) -> Booked:
        """Book what two people have agreed on; only adjustments call this."""
        return self._book(
            Transfer(
                f"adjustment:{adjustment_id}",
                "adjustment",
                user_id,
                Money(abs(money.amount), money.currency),
                adjustment_id,
            ),
            own=money.amount,
            system={"adjustments": -money.amount},
        )

    def place_hold(
        self,
        *,
        transaction_id: str,
        user_id: str,
        money: Money,
        effective_at: datetime,  # noqa: ARG002 - the model keeps no times
        announcing: Sequence[OutboundMessage] = (),
    ) -> Booked:
        hold = Transfer(f"hold:{transaction_id}", "hold", user_id, money, transaction_id)
        booked = self._book(
            hold, own=-money.amount, held=money.amount, announcing=announcing, system={}
        )
        self._holds.setdefault(transaction_id, hold)
        return booked

    def settle_hold(
        self,
        *,
        transaction_id: str,
        money: Money,
        effective_at: datetime,  # noqa: ARG002
        announcing: Sequence[OutboundMessage] = (),
    ) -> Booked:
        if self._ends.get(transaction_id) == "release":
            raise HoldAlreadyReleased("The held money went back to its user.")
        return self._end_hold(transaction_id, "settlement", money, announcing)

    def release_hold(
        self,
        *,
        transaction_id: str,
        effective_at: datetime,  # noqa: ARG002
        announcing: Sequence[OutboundMessage] = (),
    ) -> Booked:
        if self._ends.get(transaction_id) == "settlement":
            raise HoldAlreadySettled("The held money has gone out.")
        return self._end_hold(transaction_id, "release", None, announcing)

    def reverse(
        self,
        *,
        business_key: str,
        effective_at: datetime,  # noqa: ARG002
    ) -> Booked:
        original = self._bookings.get(business_key)
        if original is None:
            raise TransferNotFound("There is no such transfer.")
        if not original.system or original.transfer.kind in {"reversal", "adjustment"}:
            raise TransferNotReversible("This transfer cannot be reversed.")
        undone = original.transfer
        purchase = self.purchase(undone.subject)
        if (
            business_key == f"purchase:{undone.subject}"
            and f"reversal:{business_key}" not in self._bookings
            and purchase is not None
            and (purchase.left != purchase.came_in or purchase.user_id != undone.user_id)
        ):
            raise ExceedsPurchase("Money of this purchase has gone on already.")
        return self._book(
            Transfer(
                f"reversal:{business_key}", "reversal", undone.user_id, undone.money, undone.subject
            ),
            own=sum(original.system.values(), Decimal(0)),
            system={name: -amount for name, amount in original.system.items()},
            may_owe=True,
        )

    def find_transfer(self, business_key: str) -> Transfer | None:
        booking = self._bookings.get(business_key)
        return booking.transfer if booking else None

    def balances(self, *, user_id: str) -> Sequence[Balance]:
        held_in = sorted(currency for owner, currency in self._accounts if owner == user_id)
        return [self._balance(user_id, currency) for currency in held_in]

    def _end_hold(
        self,
        transaction_id: str,
        kind: str,
        settled: Money | None,
        announcing: Sequence[OutboundMessage],
    ) -> Booked:
        hold = self._holds.get(transaction_id)
        if hold is None:
            raise HoldNotFound("Nothing is held for this transaction.")
        out = settled.amount if settled else Decimal(0)
        if out > hold.money.amount:
            raise InvalidAmount("The ledger cannot book this amount.")
        self._ends.setdefault(transaction_id, kind)
        return self._book(
            Transfer(
                f"hold_end:{transaction_id}",
                kind,
                hold.user_id,
                settled or hold.money,
                hold.subject,
            ),
            own=hold.money.amount - out,
            held=-hold.money.amount,
            system={"provider_clearing": out} if out else {},
            announcing=announcing,
        )

    def _book(
        self,
        transfer: Transfer,
        *,
        own: Decimal,
        system: dict[str, Decimal],
        held: Decimal = Decimal(0),
        may_owe: bool = False,
        announcing: Sequence[OutboundMessage] = (),
    ) -> Booked:
        currency = transfer.money.currency
        stored = self._bookings.get(transfer.business_key)
        if stored is not None:
            if stored.transfer != transfer:
                raise BusinessKeyReused("This was booked before as something else.")
            return Booked(True, self._available_or_none(transfer))
        if transfer.user_id is not None:
            accounts = self._accounts.get((transfer.user_id, currency))
            if accounts is None:
                raise LedgerAccountNotFound("There are no ledger accounts in this currency.")
            _change_own(accounts, own, may_owe=may_owe)
            accounts["held"] += held
        assert own + held + sum(system.values()) == 0, "an unbalanced transfer"
        for name, amount in system.items():
            key = (name, currency)
            self.system[key] = self.system.get(key, Decimal(0)) + amount
        self._bookings[transfer.business_key] = _Booking(transfer, own, system)
        for message in announcing:
            self._outbox.add(message)
        return Booked(False, self._available_or_none(transfer))

    def _available_or_none(self, transfer: Transfer) -> Money | None:
        if transfer.user_id is None:
            return None
        return self._balance(transfer.user_id, transfer.money.currency).available

    def _balance(self, user_id: str, currency: str) -> Balance:
        amounts = self._accounts[user_id, currency]
        return Balance(
            Money(amounts["available"], currency),
            Money(amounts["held"], currency),
            Money(amounts["receivable"], currency),
        )


def _change_own(accounts: dict[str, Decimal], own: Decimal, *, may_owe: bool) -> None:
    if own >= 0:
        repaid = min(own, accounts["receivable"])
        accounts["receivable"] -= repaid
        accounts["available"] += own - repaid
        return
    taken = min(-own, accounts["available"])
    if taken < -own and not may_owe:
        raise InsufficientFunds("Less is available than you asked for.")
    accounts["available"] -= taken
    accounts["receivable"] += -own - taken
