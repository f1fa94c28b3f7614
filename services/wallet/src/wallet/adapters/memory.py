"""The wallet's ports in memory, for tests: the same rules, no database.

The ledger here is a small model of the kernel; one conformance suite holds both to the same rules.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from octoco.events import OutboundMessage
from octoco.money import InvalidAmount, Money
from octoco.ports import IdempotencyKeys, Inbox, Intents, Outbox
from wallet.domain.errors import (
    BusinessKeyReused,
    HoldAlreadyReleased,
    HoldAlreadySettled,
    HoldNotFound,
    InsufficientFunds,
    LedgerAccountNotFound,
    TransferNotFound,
    TransferNotReversible,
)
from wallet.domain.ledger import Balance, Booked, Posting, PostingKind, Transfer
from wallet.domain.money_facts import BankAccount, MoneyFactAnswer, OperatorCase
from wallet.domain.operator_decisions import OperatorDecision
from wallet.domain.transactions import Status, TimelineEvent, Transaction, TransactionKind
from wallet.use_cases.ports import OverdueSaga, SagaCount

_SYSTEM_LEGS: Final[Mapping[PostingKind, Mapping[str, int]]] = {
    PostingKind.DEPOSIT: {"provider_clearing": -1},
    PostingKind.CHARGEBACK: {"provider_clearing": 1},
    PostingKind.FEE: {"provider_fees": -1, "provider_clearing": 1},
    PostingKind.SUSPENSE: {"provider_clearing": -1, "suspense": 1},
}
_OWN_SIGN: Final[Mapping[PostingKind, int]] = {
    PostingKind.DEPOSIT: 1,
    PostingKind.CHARGEBACK: -1,
    PostingKind.FEE: 0,
    PostingKind.SUSPENSE: 0,
}


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
        self.system: dict[tuple[str, str], Decimal] = {}

    def open_accounts(self, *, user_id: str, currency: str) -> None:
        zero = dict.fromkeys(("available", "held", "receivable"), Decimal(0))
        self._accounts.setdefault((user_id, currency), zero)

    def post(self, posting: Posting, *, announcing: Sequence[OutboundMessage] = ()) -> Booked:
        amount = posting.money.amount
        return self._book(
            Transfer(
                posting.business_key,
                posting.kind.value,
                posting.user_id,
                posting.money,
                posting.subject,
            ),
            own=amount * _OWN_SIGN[posting.kind],
            system={name: amount * sign for name, sign in _SYSTEM_LEGS[posting.kind].items()},
            may_owe=posting.kind is PostingKind.CHARGEBACK,
            announcing=announcing,
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
        if not original.system or original.transfer.kind == "reversal":
            raise TransferNotReversible("This transfer cannot be reversed.")
        undone = original.transfer
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
            return Booked(True, self._balance_or_none(transfer))
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
        return Booked(False, self._balance_or_none(transfer))

    def _balance_or_none(self, transfer: Transfer) -> Balance | None:
        if transfer.user_id is None:
            return None
        return self._balance(transfer.user_id, transfer.money.currency)

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


class MemoryTransactions:
    """See `wallet.use_cases.ports.Transactions`."""

    def __init__(self) -> None:
        self.stored: dict[str, Transaction] = {}
        self.events: dict[str, list[TimelineEvent]] = {}

    def add(self, transaction: Transaction) -> None:
        assert transaction.id not in self.stored
        self.save(transaction)

    def save(self, transaction: Transaction) -> None:
        self.events.setdefault(transaction.id, []).extend(transaction.unsaved_events)
        transaction.unsaved_events.clear()
        self.stored[transaction.id] = deepcopy(transaction)

    def find_for_update(self, transaction_id: str) -> Transaction | None:
        return deepcopy(self.stored.get(transaction_id))

    def find_of_user(self, *, user_id: str, transaction_id: str) -> Transaction | None:
        found = self.find_for_update(transaction_id)
        return found if found is not None and found.user_id == user_id else None

    def timeline(self, transaction_id: str) -> Sequence[TimelineEvent]:
        return list(self.events.get(transaction_id, ()))

    def page(
        self,
        *,
        user_id: str,
        kind: TransactionKind | None,
        status: Status | None,
        before_id: str | None,
        limit: int,
    ) -> Sequence[Transaction]:
        found = [
            transaction
            for transaction in self.stored.values()
            if transaction.user_id == user_id
            and kind in (None, transaction.kind)
            and status in (None, transaction.status)
            and (before_id is None or transaction.id < before_id)
        ]
        return deepcopy(sorted(found, key=lambda one: one.id, reverse=True)[:limit])

    def withdrawn_since(self, *, user_id: str, currency: str, since: datetime) -> Money:
        counted = [
            transaction.money
            for transaction in self.stored.values()
            if transaction.user_id == user_id
            and transaction.kind is TransactionKind.WITHDRAWAL
            and transaction.money.currency == currency
            and transaction.created_at > since
            and transaction.status not in {Status.FAILED, Status.CANCELLED}
        ]
        return sum(counted, start=Money.zero(currency))

    def overdue(self, *, at: datetime, limit: int) -> Sequence[OverdueSaga]:
        found = [
            OverdueSaga(
                waiting.id,
                waiting.kind,
                waiting.status,
                waiting.saga_step,
                waiting.saga_step_at,
                waiting.saga_step_due_at,
            )
            for waiting in self.stored.values()
            if waiting.saga_step is not None
            and waiting.saga_step_due_at is not None
            and waiting.saga_step_due_at < at
        ]
        return sorted(found, key=lambda saga: saga.due_at)[:limit]

    def count_sagas(self, *, at: datetime) -> Sequence[SagaCount]:
        groups: dict[tuple[TransactionKind, Status, str], list[Transaction]] = {}
        for waiting in self.stored.values():
            if waiting.saga_step is not None:
                groups.setdefault((waiting.kind, waiting.status, waiting.saga_step), []).append(
                    waiting
                )
        return [
            SagaCount(
                *group,
                waiting=len(members),
                overdue=sum(one.saga_step_due_at < at for one in members if one.saga_step_due_at),
                oldest_since=min(one.saga_step_at for one in members),
            )
            for group, members in sorted(groups.items())
        ]


class MemoryUsers:
    """See `wallet.use_cases.ports.Users`."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, datetime | None]] = {}

    def remember(
        self,
        *,
        user_id: str,
        seen_at: datetime,
        registered_at: datetime | None = None,
        email_verified_at: datetime | None = None,
    ) -> None:
        user = self.known.setdefault(user_id, {"first_seen_at": seen_at})
        user["registered_at"] = user.get("registered_at") or registered_at
        user["email_verified_at"] = user.get("email_verified_at") or email_verified_at

    def exists(self, user_id: str) -> bool:
        return user_id in self.known

    def lock(self, user_id: str) -> bool:
        return self.exists(user_id)


class MemoryBankAccounts:
    """See `wallet.use_cases.ports.BankAccounts`."""

    def __init__(self) -> None:
        self._verified: dict[str, str] = {}
        self._removed: dict[str, str] = {}

    def remember_verified(
        self,
        *,
        bank_account_id: str,
        user_id: str,
        masked_number: str,  # noqa: ARG002 - only shown by the real one
        bank_name: str,  # noqa: ARG002
        verified_at: datetime,  # noqa: ARG002
    ) -> None:
        self._verified.setdefault(bank_account_id, user_id)

    def remember_removed(
        self,
        *,
        bank_account_id: str,
        user_id: str,
        removed_at: datetime,  # noqa: ARG002
    ) -> None:
        if self._verified.get(bank_account_id, user_id) == user_id:
            self._removed.setdefault(bank_account_id, user_id)

    def find(self, bank_account_id: str) -> BankAccount | None:
        owner = self._verified.get(bank_account_id) or self._removed.get(bank_account_id)
        if owner is None:
            return None
        usable = bank_account_id in self._verified and bank_account_id not in self._removed
        return BankAccount(bank_account_id, owner, usable)


class MemoryMoneyFactAnswers:
    """See `wallet.use_cases.ports.MoneyFactAnswers`."""

    def __init__(self) -> None:
        self.stored: dict[str, MoneyFactAnswer] = {}

    def find(self, fact_key: str) -> MoneyFactAnswer | None:
        return self.stored.get(fact_key)

    def add(self, answer: MoneyFactAnswer) -> None:
        assert answer.fact_key not in self.stored
        self.stored[answer.fact_key] = answer


class MemoryOperatorCases:
    """See `wallet.use_cases.ports.OperatorCases`."""

    def __init__(self) -> None:
        self.opened: dict[tuple[str, str], OperatorCase] = {}

    def open(self, case: OperatorCase) -> bool:
        if (case.kind, case.subject) in self.opened:
            return False
        self.opened[case.kind, case.subject] = case
        return True

    def count_open(self) -> Mapping[str, int]:
        kinds = [kind for kind, _ in self.opened]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


class MemoryOperatorDecisions:
    """See `wallet.use_cases.ports.OperatorDecisions`."""

    def __init__(self) -> None:
        self.made: list[OperatorDecision] = []

    def add(self, decision: OperatorDecision) -> None:
        self.made.append(decision)

    def of_subject(self, subject: str) -> Sequence[OperatorDecision]:
        return [decision for decision in self.made if decision.subject == subject]


@dataclass
class MemoryWalletUnit:
    """See `wallet.use_cases.ports.WalletUnit`."""

    outbox: Outbox
    inbox: Inbox
    intents: Intents
    idempotency_keys: IdempotencyKeys
    transactions: MemoryTransactions = field(default_factory=MemoryTransactions)
    users: MemoryUsers = field(default_factory=MemoryUsers)
    bank_accounts: MemoryBankAccounts = field(default_factory=MemoryBankAccounts)
    money_fact_answers: MemoryMoneyFactAnswers = field(default_factory=MemoryMoneyFactAnswers)
    operator_cases: MemoryOperatorCases = field(default_factory=MemoryOperatorCases)
    operator_decisions: MemoryOperatorDecisions = field(default_factory=MemoryOperatorDecisions)
    ledger: MemoryLedger = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(self.outbox)
