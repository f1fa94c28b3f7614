"""Every store of a unit of work in memory, for unit tests."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from octoco.testing import FakeIdempotencyKeys, FakeInbox, FakeIntents, FakeOutbox
from payments_gateway.domain.bank_accounts import BankAccount
from payments_gateway.domain.cases import Case, CaseKind, CaseStatus
from payments_gateway.domain.checkouts import Checkout, Purchase
from payments_gateway.domain.money_facts import MoneyFact
from payments_gateway.domain.payouts import Payout
from payments_gateway.domain.provider import RegisteredWebhook
from payments_gateway.domain.webhooks import RefusedWebhook, WebhookDelivery
from payments_gateway.messages.outbound import ChargebackOpened, RefundSucceeded
from payments_gateway.use_cases.ports import KnownUser


class MemoryUsers:
    def __init__(self) -> None:
        self.stored: dict[str, KnownUser] = {}

    def find(self, user_id: str) -> KnownUser | None:
        return self.stored.get(user_id)

    def keep(self, user: KnownUser) -> None:
        known = self.stored.get(user.user_id)
        if known is None or known.as_of < user.as_of:
            self.stored[user.user_id] = user


class MemoryCheckouts:
    def __init__(self) -> None:
        self.stored: dict[str, Checkout] = {}

    def find(self, transaction_id: str) -> Checkout | None:
        return self.stored.get(transaction_id)

    lock = find

    def insert(self, checkout: Checkout) -> None:
        assert checkout.transaction_id not in self.stored
        self.stored[checkout.transaction_id] = checkout

    def save(self, checkout: Checkout) -> None:
        assert checkout.transaction_id in self.stored
        self.stored[checkout.transaction_id] = checkout


class MemoryPurchases:
    def __init__(self) -> None:
        self.stored: dict[str, Purchase] = {}

    def find(self, purchase_id: str) -> Purchase | None:
        return self.stored.get(purchase_id)

    lock = find

    def of_transaction(self, transaction_id: str) -> Sequence[Purchase]:
        return [
            purchase
            for _, purchase in sorted(self.stored.items())
            if purchase.transaction_id == transaction_id
        ]

    def insert(self, purchase: Purchase) -> None:
        assert purchase.purchase_id not in self.stored
        self.stored[purchase.purchase_id] = purchase

    def save(self, purchase: Purchase) -> None:
        assert purchase.purchase_id in self.stored
        self.stored[purchase.purchase_id] = purchase


class MemoryPayouts:
    def __init__(self) -> None:
        self.stored: dict[str, Payout] = {}

    def find(self, transaction_id: str) -> Payout | None:
        return self.stored.get(transaction_id)

    lock = find

    def transaction_of(self, payout_id: str) -> str | None:
        for payout in self.stored.values():
            if payout.payout_id == payout_id:
                return payout.transaction_id
        return None

    def insert(self, payout: Payout) -> None:
        assert payout.transaction_id not in self.stored
        self.stored[payout.transaction_id] = payout

    def save(self, payout: Payout) -> None:
        before = self.stored[payout.transaction_id]
        # What the database's trigger keeps is kept here as well.
        assert before.execution_begun_at in {None, payout.execution_begun_at}
        assert before.payout_id in {None, payout.payout_id}
        self.stored[payout.transaction_id] = payout


class MemoryBankAccounts:
    def __init__(self) -> None:
        self.stored: dict[str, BankAccount] = {}

    def find(self, bank_account_id: str) -> BankAccount | None:
        return self.stored.get(bank_account_id)

    lock = find

    def kept_by(self, user_id: str) -> Sequence[BankAccount]:
        return [
            bank_account
            for bank_account in self.stored.values()
            if bank_account.user_id == user_id and bank_account.removed_at is None
        ]

    def insert(self, bank_account: BankAccount) -> None:
        self.stored[bank_account.bank_account_id] = bank_account

    def mark_removed(self, bank_account_id: str, *, at: datetime) -> None:
        self.stored[bank_account_id] = replace(self.stored[bank_account_id], removed_at=at)


class MemoryMoneyFacts:
    def __init__(self) -> None:
        self.stored: dict[str, MoneyFact] = {}

    def insert(self, fact: MoneyFact) -> bool:
        if fact.fact_key in self.stored:
            return False
        self.stored[fact.fact_key] = fact
        return True

    def lock(self, fact_key: str) -> MoneyFact | None:
        return self.stored.get(fact_key)

    def save(self, fact: MoneyFact) -> None:
        self.stored[fact.fact_key] = fact

    def gone_back(self, purchase_id: str) -> Sequence[MoneyFact]:
        return [
            fact
            for fact in self.stored.values()
            if fact.type in {RefundSucceeded.TYPE, ChargebackOpened.TYPE}
            and fact.data["purchase_id"] == purchase_id
        ]

    def oldest_unanswered_at(self) -> datetime | None:
        waiting = [fact.created_at for fact in self.stored.values() if fact.answered_at is None]
        return min(waiting, default=None)


class MemoryCases:
    def __init__(self) -> None:
        self.stored: dict[tuple[CaseKind, str], Case] = {}

    def open(self, case: Case) -> bool:
        if (case.kind, case.subject_id) in self.stored:
            return False
        self.stored[case.kind, case.subject_id] = case
        return True

    def open_ones(self, *, limit: int) -> Sequence[Case]:
        newest_first = reversed(list(self.stored.values()))
        return [case for case in newest_first if case.status is CaseStatus.OPEN][:limit]

    def count_open(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for case in self.open_ones(limit=len(self.stored)):
            counts[case.kind.value] = counts.get(case.kind.value, 0) + 1
        return counts

    @property
    def kinds(self) -> list[CaseKind]:
        return [kind for kind, _ in self.stored]


class MemoryDeliveries:
    def __init__(self) -> None:
        self.stored: dict[str, WebhookDelivery] = {}
        self.refused: list[RefusedWebhook] = []

    def insert(self, delivery: WebhookDelivery) -> bool:
        if any(known.body_sha256 == delivery.body_sha256 for known in self.stored.values()):
            return False
        self.stored[delivery.delivery_id] = delivery
        return True

    def find(self, delivery_id: str) -> WebhookDelivery | None:
        return self.stored.get(delivery_id)

    def finish(self, delivery_id: str, *, outcome: str, at: datetime) -> None:  # noqa: ARG002 - only PostgreSQL keeps when
        self.stored[delivery_id] = replace(self.stored[delivery_id], outcome=outcome)

    def keep_refused(self, refused: RefusedWebhook) -> None:
        self.refused.append(refused)


class MemoryRegistrations:
    def __init__(self) -> None:
        self.stored: list[RegisteredWebhook] = []
        self.claimed_at = datetime.min.replace(tzinfo=UTC)

    def all(self) -> Sequence[RegisteredWebhook]:
        return list(self.stored)

    def replace(self, webhooks: Sequence[RegisteredWebhook], *, at: datetime) -> None:  # noqa: ARG002 - likewise
        self.stored = list(webhooks)

    def claim_key_reading(self, *, at: datetime, last_before: datetime) -> bool:
        if self.claimed_at >= last_before:
            return False
        self.claimed_at = at
        return True


class MemoryTombstones:
    def __init__(self) -> None:
        self.stored: set[str] = set()

    def bury(self, transaction_id: str) -> None:
        self.stored.add(transaction_id)

    def holds(self, transaction_id: str) -> bool:
        return transaction_id in self.stored


class MemoryUnit:
    """See `payments_gateway.use_cases.ports.Unit`."""

    def __init__(self) -> None:
        self.outbox = FakeOutbox()
        self.inbox = FakeInbox()
        self.intents = FakeIntents()
        self.idempotency_keys = FakeIdempotencyKeys()
        self.users = MemoryUsers()
        self.checkouts = MemoryCheckouts()
        self.purchases = MemoryPurchases()
        self.payouts = MemoryPayouts()
        self.bank_accounts = MemoryBankAccounts()
        self.money_facts = MemoryMoneyFacts()
        self.cases = MemoryCases()
        self.deliveries = MemoryDeliveries()
        self.registrations = MemoryRegistrations()
        self.tombstones = MemoryTombstones()
