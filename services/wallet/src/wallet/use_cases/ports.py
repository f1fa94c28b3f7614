"""What the use cases ask of their unit of work, without any framework."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from octoco.context import WorkContext
from octoco.events import OutboundMessage
from octoco.money import Money
from octoco.ports import MessagingUnit
from wallet.domain.ledger import (
    Balance,
    Booked,
    Posting,
    PurchaseMoney,
    SuspendedPurchase,
    Transfer,
)
from wallet.domain.limits import Counted
from wallet.domain.money_facts import BankAccount, FeeTold, MoneyFactAnswer
from wallet.domain.transactions import Status, TimelineEvent, Transaction, TransactionKind
from wallet.domain.users import KnownUser
from wallet.use_cases.operator_ports import Adjustments, OperatorCases, OperatorDecisions
from wallet.use_cases.reading_ports import Books


class Ledger(Protocol):
    """The kernel. Each call posts once for its business key; a repeat returns what was booked.

    `announcing` are messages that the kernel stores in the same round trip, and only when it
    moved something; their aggregate must be locked, or new, by then.
    """

    def open_accounts(self, *, user_id: str, currency: str) -> None:
        """Open the user's ledger accounts in a currency; a repeat changes nothing."""
        ...

    def post(self, posting: Posting, *, announcing: Sequence[OutboundMessage] = ()) -> Booked:
        """Book a movement. A credit repays the user's receivable first.

        A refund or a chargeback takes from whoever has the purchase's money: a posting of these
        kinds names the purchase as its subject and no user.

        Raises:
            PurchaseNotBooked: nothing is booked for the purchase that it is about.
            BusinessKeyReused: the key posted another kind, user, amount, currency or subject.
            ExceedsPurchase: a refund or a chargeback of more than is left of the purchase, or an
                assignment of anything but all that is left of it in suspense.
            LedgerAccountNotFound: the user has no accounts in the currency.
        """
        ...

    def post_all(
        self,
        postings: Sequence[Posting],
        *,
        announcing: Sequence[OutboundMessage | None] = (),
    ) -> Sequence[Booked]:
        """Book many movements by sets: what the same postings one by one would leave behind.

        Args:
            postings: Deposits, fees, fee returns, suspense and settlements; each business key once.
                A settlement is of a whole hold: its subject is the transaction, its key
                `hold_end:<transaction>`.
            announcing: The message of each posting, None where there is none; empty for no message
                at all. It is stored only if its posting moved something.

        Returns:
            What each posting left behind, in their order.

        Raises:
            InvalidAmount, UnknownCurrency, BusinessKeyReused, LedgerAccountNotFound, HoldNotFound:
                one of them would have been refused, so none of them is booked.
        """
        ...

    def place_hold(
        self,
        *,
        transaction_id: str,
        user_id: str,
        money: Money,
        effective_at: datetime,
        announcing: Sequence[OutboundMessage] = (),
    ) -> Booked:
        """Set money aside for one transaction.

        Raises:
            BusinessKeyReused: the transaction holds another amount already.
            LedgerAccountNotFound: the user has no accounts in the currency.
            InsufficientFunds: less is available.
        """
        ...

    def settle_hold(
        self,
        *,
        transaction_id: str,
        money: Money,
        effective_at: datetime,
        announcing: Sequence[OutboundMessage] = (),
    ) -> Booked:
        """Let held money go out, and release what `money` leaves of the hold.

        Raises:
            HoldNotFound: nothing was held.
            HoldAlreadyReleased: the hold ended the other way.
            InvalidAmount: more than was held.
            BusinessKeyReused: it was settled with another amount.
        """
        ...

    def release_hold(
        self,
        *,
        transaction_id: str,
        effective_at: datetime,
        announcing: Sequence[OutboundMessage] = (),
    ) -> Booked:
        """Give held money back to its user, who repays a receivable first.

        Raises:
            HoldNotFound: nothing was held.
            HoldAlreadySettled: the hold ended the other way.
        """
        ...

    def reverse(self, *, business_key: str, effective_at: datetime) -> Booked:
        """Undo a transfer by its opposite, once.

        Raises:
            TransferNotFound: no transfer has the key.
            TransferNotReversible: it is a hold, its end, an adjustment, or a reversal.
            ExceedsPurchase: it is the booking of a purchase whose money has gone on.
        """
        ...

    def purchase(self, purchase_id: str) -> PurchaseMoney | None:
        """Return what became of a purchase's money; None if nothing is booked for it."""
        ...

    def in_suspense(self, *, after: int, limit: int) -> Sequence[SuspendedPurchase]:
        """Return purchases of which something lies in suspense, oldest first, after a place."""
        ...

    def find_transfer(self, business_key: str) -> Transfer | None:
        """Return what the key has posted."""
        ...

    def balances(self, *, user_id: str) -> Sequence[Balance]:
        """Return the user's balances, ordered by currency."""
        ...


class Postings(Protocol):
    """The door for movements that belong to no saga: the postings are the whole unit of work."""

    def post(self, posting: Posting, *, announcing: Sequence[OutboundMessage] = ()) -> Booked:
        """Book a movement and store what it announces, in one round trip.

        Returns:
            What it left behind; on a repeat, also of a call whose answer was lost, what the first
            one left.

        Raises:
            BusinessKeyReused, LedgerAccountNotFound, ExceedsPurchase, PurchaseNotBooked: see
                `Ledger.post`.
            Unavailable: the database is away or too busy; whether it was booked is told by asking
                again.
        """
        ...

    def post_all(
        self,
        postings: Sequence[Posting],
        *,
        announcing: Sequence[OutboundMessage | None] = (),
    ) -> Sequence[Booked]:
        """Book many movements and what they announce, in one round trip and all or none.

        One batch of the service is written at a time; several would lose most of their races.

        Args:
            postings: As for `Ledger.post_all`.
            announcing: Likewise.

        Returns:
            What each left behind, in order; on a repeat what the first one left.

        Raises:
            BusinessKeyReused, HoldNotFound, LedgerAccountNotFound: see `Ledger.post_all`.
            Unavailable: see `post`.
        """
        ...


@dataclass(frozen=True, slots=True)
class OverdueSaga:
    """A saga that has waited too long.

    Args:
        transaction_id: Whose saga.
        kind: Deposit or withdrawal.
        status: Where the transaction stands.
        step: Where the saga waits.
        since: When the wait began, UTC.
        due_at: When it should have ended, UTC.
        origin: The work that began it; None if it is not known.
    """

    transaction_id: str
    kind: TransactionKind
    status: Status
    step: str
    since: datetime
    due_at: datetime
    origin: WorkContext | None


@dataclass(frozen=True, slots=True)
class SagaCount:
    """How many sagas wait at one step.

    Args:
        kind: Deposit or withdrawal.
        status: Where their transactions stand.
        step: Where they wait.
        waiting: How many.
        overdue: How many of them are past their deadline.
        oldest_since: Since when the first of them waits, UTC.
    """

    kind: TransactionKind
    status: Status
    step: str
    waiting: int
    overdue: int
    oldest_since: datetime


@dataclass(frozen=True, slots=True)
class WithdrawalInReview:
    """What an operator is shown of a withdrawal that waits for them.

    Args:
        withdrawal: As it stands.
        bank_account: Where the money would go, as people may see it; None if nothing is known.
        bank_account_usable: False once the bank account was removed.
        user_frozen: True while the user is frozen.
    """

    withdrawal: Transaction
    bank_account: str | None
    bank_account_usable: bool
    user_frozen: bool


class Transactions(Protocol):
    def add(self, transaction: Transaction) -> None:
        """Store a new transaction with its timeline."""
        ...

    def save(self, transaction: Transaction) -> None:
        """Store what changed, and append the new lines of the timeline."""
        ...

    def save_all(self, transactions: Sequence[Transaction]) -> None:
        """Store what changed in many, in one statement, and append their timelines' new lines."""
        ...

    def find_for_update(self, transaction_id: str) -> Transaction | None:
        """Return a transaction, locked until the unit of work ends."""
        ...

    def find_all_for_update(self, transaction_ids: Collection[str]) -> Mapping[str, Transaction]:
        """Return those that exist by their ids, locked in the order of these."""
        ...

    def find_user_of(self, transaction_id: str) -> str | None:
        """Return whose transaction it is, without locking it."""
        ...

    def find_of_user(self, *, user_id: str, transaction_id: str) -> Transaction | None:
        """Return a user's own transaction; None also for somebody else's."""
        ...

    def timeline(self, transaction_id: str) -> Sequence[TimelineEvent]:
        """Return a transaction's history, oldest first."""
        ...

    def page(
        self,
        *,
        user_id: str,
        kind: TransactionKind | None,
        status: Status | None,
        before_id: str | None,
        limit: int,
    ) -> Sequence[Transaction]:
        """Return a user's transactions, newest first, that are older than `before_id`."""
        ...

    def counted_since(
        self, *, user_id: str, kind: TransactionKind, currency: str, since: datetime
    ) -> Sequence[Counted]:
        """Return what counts against the user's limits: what did not end without success.

        Args:
            user_id: Whose; their row is locked, so that nobody adds to it meanwhile.
            kind: Of which kind.
            currency: In which currency.
            since: Only what was asked for after this instant, UTC; not before 30 days ago.

        Returns:
            Oldest first. What is older than a day may come summed by the hour.
        """
        ...

    def find_cancellable_of(self, user_id: str) -> Sequence[Transaction]:
        """Return the user's pending withdrawals that nobody has asked to cancel, locked."""
        ...

    def page_in_review(self, *, after_id: str | None, limit: int) -> Sequence[WithdrawalInReview]:
        """Return withdrawals that wait for an operator, oldest first, later than `after_id`."""
        ...

    def overdue(self, *, at: datetime, limit: int) -> Sequence[OverdueSaga]:
        """Return sagas whose step was due before `at`, most overdue first."""
        ...

    def count_sagas(self, *, at: datetime) -> Sequence[SagaCount]:
        """Count the sagas under way by kind, status and step."""
        ...


class Users(Protocol):
    def remember(
        self,
        *,
        user_id: str,
        seen_at: datetime,
        registered_at: datetime | None = None,
        email_verified_at: datetime | None = None,
    ) -> None:
        """Keep that the user exists, and what is told of them; what is known stays."""
        ...

    def exists(self, user_id: str) -> bool: ...

    def known(self, user_ids: Collection[str]) -> frozenset[str]:
        """Return those of the users that exist."""
        ...

    def lock(self, user_id: str) -> KnownUser | None:
        """Lock the user's row, under which limits are counted and freezes are decided.

        Returns:
            None if the user is not known.
        """
        ...

    def note_frozen(self, *, user_id: str, seen_at: datetime, frozen_at: datetime) -> KnownUser:
        """Keep that accounts froze the user at an instant, and lock their row.

        Of news that come late or twice the latest instant counts; a freeze wins over an unfreeze
        of the same instant.

        Returns:
            The user as they are after all that is known.
        """
        ...

    def note_unfrozen(self, *, user_id: str, seen_at: datetime, unfrozen_at: datetime) -> KnownUser:
        """Keep that accounts let the user go on at an instant; see `note_frozen`."""
        ...


class BankAccounts(Protocol):
    def remember_verified(
        self,
        *,
        bank_account_id: str,
        user_id: str,
        masked_number: str,
        bank_name: str,
        verified_at: datetime,
    ) -> None:
        """Keep that money may go to the account, unless it was removed already."""
        ...

    def remember_removed(self, *, bank_account_id: str, user_id: str, removed_at: datetime) -> None:
        """Keep that money may never again go to the account, whether it is known or not."""
        ...

    def find(self, bank_account_id: str) -> BankAccount | None: ...


class MoneyFactAnswers(Protocol):
    def find(self, fact_key: str) -> MoneyFactAnswer | None: ...

    def find_all(self, fact_keys: Collection[str]) -> Mapping[str, MoneyFactAnswer]:
        """Return the answers that are kept to these facts, by fact key."""
        ...

    def add(self, answer: MoneyFactAnswer) -> None: ...

    def add_all(self, answers: Sequence[MoneyFactAnswer]) -> frozenset[str]:
        """Keep the answers to facts that have none, in one statement.

        Returns:
            The keys of these facts; for every other one its first answer stays.
        """
        ...


class FeeTotals(Protocol):
    """Which totals of fees were told for each purchase and payout."""

    def tell(self, *, subject: str, total: Money, at: datetime) -> FeeTold:
        """Keep a total, once, and say what was known before; the subject is locked from here on."""
        ...

    def tell_firsts(self, totals: Mapping[str, Money], *, at: datetime) -> frozenset[str]:
        """Keep, in one round trip, those totals that are the first of their subject.

        Returns:
            Their subjects; for every other one nothing is kept yet, and `tell` says what is known.
        """
        ...


class WalletUnit(MessagingUnit, Protocol):
    """The wallet's unit of work."""

    @property
    def ledger(self) -> Ledger: ...
    @property
    def books(self) -> Books: ...
    @property
    def transactions(self) -> Transactions: ...
    @property
    def users(self) -> Users: ...
    @property
    def bank_accounts(self) -> BankAccounts: ...
    @property
    def money_fact_answers(self) -> MoneyFactAnswers: ...
    @property
    def fee_totals(self) -> FeeTotals: ...
    @property
    def operator_cases(self) -> OperatorCases: ...
    @property
    def operator_decisions(self) -> OperatorDecisions: ...
    @property
    def adjustments(self) -> Adjustments: ...
