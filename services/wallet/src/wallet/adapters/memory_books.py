"""The ledger's past in memory, for tests: every answer is recomputed from all entries."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from octoco.money import Money
from wallet.domain.ledger import Balance
from wallet.domain.statements import KindBalance, Position, Standing, UserEntry

_ACCOUNTS = ("available", "held", "receivable")


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedEntry:
    """One entry as the ledger keeps it.

    Args:
        transfer_id: Whose leg.
        transfer_kind: Of the transfer.
        effective_at: Of the transfer, timezone-aware UTC.
        transaction_id: What it is about, if that is a transaction of the user.
        user_id: Whose ledger account; None for the system's.
        account: Kind of the ledger account.
        money: Signed.
        version: Number along the user's ledger account; None for the system's.
        booked_at: Timezone-aware UTC.
    """

    transfer_id: int
    transfer_kind: str
    effective_at: datetime
    transaction_id: str | None
    user_id: str | None
    account: str
    money: Money
    version: int | None
    booked_at: datetime


@dataclass
class MemoryBooks:
    """See `wallet.use_cases.reading_ports.Books`.

    Args:
        entries: In any order.
        final_before: Until when everything is committed, timezone-aware; None for nothing yet.
    """

    entries: list[BookedEntry] = field(default_factory=list)
    final_before: datetime | None = None

    def standings_as_of(self, *, user_id: str, at: datetime) -> Sequence[Standing]:
        currencies = sorted({e.money.currency for e in self.entries if e.user_id == user_id})
        return [
            self._standing(user_id, currency, lambda entry: entry.booked_at <= at)
            for currency in currencies
        ]

    def balance_at(self, *, user_id: str, currency: str, position: Position) -> Balance | None:
        standing = self._standing(
            user_id,
            currency,
            lambda entry: (entry.version or 0) <= getattr(position, entry.account),
        )
        return standing.balance if standing.position == position else None

    def entries_between(
        self, *, user_id: str, currency: str, after: Position, up_to: Position, limit: int
    ) -> Sequence[UserEntry]:
        found: list[UserEntry] = []
        for account in _ACCOUNTS:
            own = sorted(
                (e for e in self._of(user_id, currency) if e.account == account),
                key=lambda entry: entry.version or 0,
            )[getattr(after, account) : getattr(up_to, account)]
            found += [self._user_entry(entry) for entry in own[:limit]]
        return found

    def kinds_as_of(self, *, at: datetime | None, currency: str | None) -> Sequence[KindBalance]:
        sums: dict[tuple[str, str], tuple[Decimal, int]] = {}
        for entry in self.entries:
            if (at is None or entry.booked_at <= at) and currency in (None, entry.money.currency):
                key = (entry.money.currency, entry.account)
                amount, count = sums.get(key, (Decimal(0), 0))
                sums[key] = (amount + entry.money.amount, count + 1)
        return [
            KindBalance(kind, Money(amount, code), count)
            for (code, kind), (amount, count) in sorted(sums.items())
        ]

    def is_final(self, at: datetime) -> bool:
        return self.final_before is not None and at <= self.final_before

    def _of(self, user_id: str, currency: str) -> Iterable[BookedEntry]:
        return (e for e in self.entries if e.user_id == user_id and e.money.currency == currency)

    def _standing(
        self, user_id: str, currency: str, counts: Callable[[BookedEntry], bool]
    ) -> Standing:
        zero = Money.zero(currency)
        sums, versions = dict.fromkeys(_ACCOUNTS, zero), dict.fromkeys(_ACCOUNTS, 0)
        for entry in self._of(user_id, currency):
            if counts(entry):
                sums[entry.account] += _change(entry)
                versions[entry.account] += 1
        return Standing(Balance(**sums), Position(**versions))

    def _user_entry(self, entry: BookedEntry) -> UserEntry:
        assert entry.user_id is not None
        assert entry.version is not None
        earlier = [
            _change(one)
            for one in self._of(entry.user_id, entry.money.currency)
            if one.account == entry.account and (one.version or 0) <= entry.version
        ]
        return UserEntry(
            transfer_id=entry.transfer_id,
            account=entry.account,
            version=entry.version,
            change=_change(entry),
            balance_after=sum(earlier, start=Money.zero(entry.money.currency)),
            booked_at=entry.booked_at,
            effective_at=entry.effective_at,
            kind=entry.transfer_kind,
            legs=sum(
                one.transfer_id == entry.transfer_id and one.user_id is not None
                for one in self.entries
            ),
            transaction_id=entry.transaction_id,
        )


def _change(entry: BookedEntry) -> Money:
    return -entry.money if entry.account == "receivable" else entry.money
