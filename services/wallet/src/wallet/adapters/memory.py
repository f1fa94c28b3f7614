"""The wallet's ports in memory, for tests: the same rules, no database."""

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime

from octoco.money import Money
from octoco.ports import IdempotencyKeys, Inbox, Intents, Outbox
from wallet.adapters.memory_adjustments import MemoryAdjustments
from wallet.adapters.memory_books import MemoryBooks
from wallet.adapters.memory_ledger import MemoryLedger
from wallet.domain.limits import Counted
from wallet.domain.money_facts import BankAccount, FeeTold, MoneyFactAnswer, OperatorCase
from wallet.domain.operator_decisions import OperatorDecision
from wallet.domain.transactions import Status, TimelineEvent, Transaction, TransactionKind
from wallet.domain.users import KnownUser
from wallet.use_cases.ports import OverdueSaga, SagaCount, WithdrawalInReview


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

    def save_all(self, transactions: Sequence[Transaction]) -> None:
        for transaction in transactions:
            self.save(transaction)

    def find_for_update(self, transaction_id: str) -> Transaction | None:
        return deepcopy(self.stored.get(transaction_id))

    def find_all_for_update(self, transaction_ids: Collection[str]) -> Mapping[str, Transaction]:
        return {one: deepcopy(self.stored[one]) for one in transaction_ids if one in self.stored}

    def find_user_of(self, transaction_id: str) -> str | None:
        found = self.stored.get(transaction_id)
        return found.user_id if found else None

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

    def counted_since(
        self, *, user_id: str, kind: TransactionKind, currency: str, since: datetime
    ) -> Sequence[Counted]:
        return [
            Counted(transaction.created_at, transaction.money)
            for transaction in sorted(self.stored.values(), key=lambda one: one.created_at)
            if transaction.user_id == user_id
            and transaction.kind is kind
            and transaction.money.currency == currency
            and transaction.created_at > since
            and transaction.status not in {Status.FAILED, Status.CANCELLED, Status.EXPIRED}
        ]

    def find_cancellable_of(self, user_id: str) -> Sequence[Transaction]:
        return [
            deepcopy(transaction)
            for _, transaction in sorted(self.stored.items())
            if transaction.user_id == user_id
            and transaction.kind is TransactionKind.WITHDRAWAL
            and transaction.status is Status.PENDING
            and transaction.cancel_requested_at is None
        ]

    def page_in_review(self, *, after_id: str | None, limit: int) -> Sequence[WithdrawalInReview]:
        # What an operator is shown beside the withdrawal is joined by the real one.
        found = [
            WithdrawalInReview(deepcopy(transaction), None, True, False)
            for id_, transaction in sorted(self.stored.items())
            if transaction.kind is TransactionKind.WITHDRAWAL
            and transaction.status is Status.REVIEW
            and (after_id is None or id_ > after_id)
        ]
        return found[:limit]

    def overdue(self, *, at: datetime, limit: int) -> Sequence[OverdueSaga]:
        found = [
            OverdueSaga(
                waiting.id,
                waiting.kind,
                waiting.status,
                waiting.saga_step,
                waiting.saga_step_at,
                waiting.saga_step_due_at,
                waiting.origin,
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
        self.stored: dict[str, dict[str, datetime | None]] = {}

    def remember(
        self,
        *,
        user_id: str,
        seen_at: datetime,
        registered_at: datetime | None = None,
        email_verified_at: datetime | None = None,
    ) -> None:
        user = self.stored.setdefault(user_id, {"first_seen_at": seen_at})
        user["registered_at"] = user.get("registered_at") or registered_at
        user["email_verified_at"] = user.get("email_verified_at") or email_verified_at

    def exists(self, user_id: str) -> bool:
        return user_id in self.stored

    def known(self, user_ids: Collection[str]) -> frozenset[str]:
        return frozenset(user_ids) & frozenset(self.stored)

    def lock(self, user_id: str) -> KnownUser | None:
        return self._standing(user_id) if self.exists(user_id) else None

    def note_frozen(self, *, user_id: str, seen_at: datetime, frozen_at: datetime) -> KnownUser:
        return self._note("frozen_at", user_id, seen_at, frozen_at)

    def note_unfrozen(self, *, user_id: str, seen_at: datetime, unfrozen_at: datetime) -> KnownUser:
        return self._note("unfrozen_at", user_id, seen_at, unfrozen_at)

    def _note(self, name: str, user_id: str, seen_at: datetime, at: datetime) -> KnownUser:
        user = self.stored.setdefault(user_id, {"first_seen_at": seen_at})
        user[name] = max(at, user.get(name) or at)
        return self._standing(user_id)

    def _standing(self, user_id: str) -> KnownUser:
        user = self.stored[user_id]
        frozen_at, unfrozen_at = user.get("frozen_at"), user.get("unfrozen_at")
        return KnownUser(
            user_id,
            frozen_at is not None and (unfrozen_at is None or frozen_at >= unfrozen_at),
        )


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

    def find_all(self, fact_keys: Collection[str]) -> Mapping[str, MoneyFactAnswer]:
        return {key: self.stored[key] for key in fact_keys if key in self.stored}

    def add(self, answer: MoneyFactAnswer) -> None:
        assert answer.fact_key not in self.stored
        self.stored[answer.fact_key] = answer

    def add_all(self, answers: Sequence[MoneyFactAnswer]) -> frozenset[str]:
        new = {answer.fact_key: answer for answer in answers if answer.fact_key not in self.stored}
        self.stored.update(new)
        return frozenset(new)


class MemoryFeeTotals:
    """See `wallet.use_cases.ports.FeeTotals`."""

    def __init__(self) -> None:
        self._told: dict[str, list[Money]] = {}

    def tell(self, *, subject: str, total: Money, at: datetime) -> FeeTold:  # noqa: ARG002
        totals = self._told.setdefault(subject, [])
        before = totals[-1] if totals else None
        if before is not None and before.currency != total.currency:
            return FeeTold(is_new=False, before=before, in_another_currency=True)
        is_new = total not in totals
        if is_new:
            totals.append(total)
        return FeeTold(is_new=is_new, before=before)

    def tell_firsts(self, totals: Mapping[str, Money], *, at: datetime) -> frozenset[str]:
        firsts = frozenset(totals) - frozenset(self._told)
        for subject in firsts:
            self.tell(subject=subject, total=totals[subject], at=at)
        return firsts


class MemoryOperatorCases:
    """See `wallet.use_cases.operator_ports.OperatorCases`."""

    def __init__(self) -> None:
        self.opened: dict[tuple[str, str], OperatorCase] = {}
        self.closed: dict[tuple[str, str], str] = {}

    def open(self, case: OperatorCase) -> bool:
        if (case.kind, case.subject) in self.opened:
            return False
        self.opened[case.kind, case.subject] = case
        return True

    def close(self, *, subject: str, by: str, reason: str, at: datetime) -> int:  # noqa: ARG002
        closing = [key for key in self.opened if key[1] == subject and key not in self.closed]
        self.closed.update(dict.fromkeys(closing, by))
        return len(closing)

    def count_open(self) -> Mapping[str, int]:
        kinds = [kind for kind, subject in self.opened if (kind, subject) not in self.closed]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


class MemoryOperatorDecisions:
    """See `wallet.use_cases.operator_ports.OperatorDecisions`."""

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
    fee_totals: MemoryFeeTotals = field(default_factory=MemoryFeeTotals)
    operator_cases: MemoryOperatorCases = field(default_factory=MemoryOperatorCases)
    operator_decisions: MemoryOperatorDecisions = field(default_factory=MemoryOperatorDecisions)
    ledger: MemoryLedger = field(init=False)
    books: MemoryBooks = field(default_factory=MemoryBooks)
    adjustments: MemoryAdjustments = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(self.outbox)
        self.adjustments = MemoryAdjustments(self.ledger)
