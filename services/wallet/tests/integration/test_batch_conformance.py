"""A batch leaves behind what the same postings one by one do, in the kernel and in its model."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octoco.errors import Refusal
from octoco.ids import new_id
from octoco.money import Money
from octoco.testing import FakeOutbox
from octoco.testing.seeds import examples
from wallet.adapters.memory_ledger import MemoryLedger
from wallet.bootstrap import Wallet
from wallet.domain.ledger import Booked, Posting, PostingKind
from wallet.use_cases.ports import Ledger

HOLDS: Final = 4
NOW: Final = datetime(2026, 11, 22, tzinfo=UTC)
USERS: Final = (0, 1)
CURRENCIES: Final = ("ZAR", "JPY", "KWD")
SYSTEM_KINDS: Final = (PostingKind.FEE, PostingKind.FEE_RETURN, PostingKind.SUSPENSE)


class Step(NamedTuple):
    """One posting of a batch; names are made unique for each side."""

    kind: PostingKind
    name: int
    user: int
    currency: str
    minor: int


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from([PostingKind.DEPOSIT, PostingKind.DEPOSIT, *SYSTEM_KINDS])
        | st.just(PostingKind.SETTLEMENT),
        st.integers(0, 2 * HOLDS - 1),
        st.sampled_from(USERS),
        st.sampled_from(CURRENCIES),
        st.integers(1, 5000),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda step: (step.kind is PostingKind.SETTLEMENT, step.name),
)


class Side:
    """A ledger with users who hold and owe money before the batch comes.

    Args:
        run: Does one call on an open ledger, in a unit of its own.
    """

    def __init__(self, run: Callable[[Callable[[Ledger], Any]], Any]) -> None:
        self.run = run
        self.salt = new_id("salt")
        self.users = [new_id("usr") for _ in USERS]
        for user_id in self.users:
            for currency in CURRENCIES:
                self._prepare(user_id, currency)

    def _prepare(self, user_id: str, currency: str) -> None:
        self.run(lambda ledger: ledger.open_accounts(user_id=user_id, currency=currency))
        money = Money.from_minor(1000 * HOLDS, currency)
        purchase = f"{self.salt}.{user_id}.{currency}"
        opening = Posting(
            business_key=f"purchase:{purchase}",
            kind=PostingKind.DEPOSIT,
            user_id=user_id,
            money=money,
            subject=purchase,
            effective_at=NOW,
        )
        self.run(lambda ledger: ledger.post(opening))
        for name in range(HOLDS):
            self._place(self._hold(name, user_id, currency), user_id, currency)
        # All of it is held, so half of a chargeback is owed.
        owed = replace(
            opening,
            business_key=f"chargeback:{purchase}",
            kind=PostingKind.CHARGEBACK,
            user_id=None,
            money=Money.from_minor(500 * HOLDS, currency),
        )
        self.run(lambda ledger: ledger.post(owed))

    def _place(self, subject: str, user_id: str, currency: str) -> None:
        held = Money.from_minor(1000, currency)
        self.run(
            lambda ledger: ledger.place_hold(
                transaction_id=subject, user_id=user_id, money=held, effective_at=NOW
            )
        )

    def _hold(self, name: int, user_id: str, currency: str) -> str:
        return f"{self.salt}.{user_id}.{currency}.{name}"

    def posting(self, step: Step) -> Posting:
        user_id = self.users[step.user]
        subject = f"{self.salt}.{step.name}"
        key = f"purchase:{subject}"
        money = Money.from_minor(step.minor, step.currency)
        if step.kind is PostingKind.SETTLEMENT:
            subject = self._hold(step.name, user_id, step.currency)
            key = f"hold_end:{subject}"
            money = Money.from_minor(1000, step.currency)
        return Posting(
            business_key=key,
            kind=step.kind,
            user_id=None if step.kind in SYSTEM_KINDS else user_id,
            money=money,
            subject=subject,
            effective_at=NOW,
        )

    def together(self, steps: Sequence[Step]) -> Any:
        postings = [self.posting(step) for step in steps]
        return self._told(lambda: self.run(lambda ledger: ledger.post_all(postings)))

    def one_by_one(self, steps: Sequence[Step]) -> Any:
        """Post each by itself, all in one unit, so that all or none is booked."""

        def post_each(ledger: Ledger) -> list[Booked]:
            return [self._alone(ledger, self.posting(step)) for step in steps]

        return self._told(lambda: self.run(post_each))

    def _alone(self, ledger: Ledger, posting: Posting) -> Booked:
        if posting.kind is not PostingKind.SETTLEMENT:
            return ledger.post(posting)
        return ledger.settle_hold(
            transaction_id=posting.subject, money=posting.money, effective_at=NOW
        )

    def _told(self, work: Callable[[], Sequence[Booked]]) -> Any:
        try:
            booked = work()
        except Refusal as refusal:
            return refusal.code
        return [(one.repeated, one.available) for one in booked]

    def balances(self) -> Any:
        return self.run(lambda ledger: [list(ledger.balances(user_id=one)) for one in self.users])


def kernel(wallet: Wallet) -> Side:
    return Side(lambda call: wallet.units.run(lambda unit: call(unit.ledger)))


def model() -> Side:
    ledger = MemoryLedger(FakeOutbox())
    return Side(lambda call: call(ledger))


def history(wallet: Wallet, user_id: str) -> list[tuple[Any, ...]]:
    rows = wallet.database.statement(
        """
        SELECT a.currency, a.kind::text, e.version, e.amount, e.balance_after
        FROM entries e JOIN ledger_accounts a ON a.id = e.ledger_account_id
        WHERE a.user_id = :user_id ORDER BY a.currency, a.kind, e.version
        """,
        {"user_id": user_id},
    )
    return [tuple(row) for row in rows]


def _fresh(told: Any) -> Any:
    if isinstance(told, str):
        return "refused"
    return [(repeated, None if repeated else available) for repeated, available in told]


@settings(
    max_examples=examples(8),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batches=st.lists(STEPS, min_size=1, max_size=3))
def test_any_batch_is_the_same_postings_one_by_one(
    bare_wallet: Wallet, batches: list[list[Step]]
) -> None:
    sets, singles, modelled = kernel(bare_wallet), kernel(bare_wallet), model()
    for steps in batches:
        told = sets.together(steps)
        alone = singles.one_by_one(steps)
        # Where several would be refused, either may name the first of them it comes to; and what
        # is available at a repeat is told as of the end of the batch.
        assert _fresh(told) == _fresh(alone), steps
        # A user's entries are the same down to each version and each balance on the way.
        for here, there in zip(sets.users, singles.users, strict=True):
            assert history(bare_wallet, here) == history(bare_wallet, there)
        assert sets.balances() == singles.balances()
        # The model takes nothing back when it refuses: there it is asked only for what is booked.
        if not isinstance(told, str):
            assert _fresh(modelled.together(steps)) == _fresh(told)
            assert modelled.balances() == sets.balances()


def test_a_batch_with_one_posting_that_is_refused_books_nothing(bare_wallet: Wallet) -> None:
    side = kernel(bare_wallet)
    before = side.balances()
    first = Step(PostingKind.DEPOSIT, 1, 0, "ZAR", 100)
    assert side.together([first]) == [(False, Money.zero("ZAR"))]
    after = side.balances()
    assert after != before
    other = first._replace(minor=101)
    assert side.together([Step(PostingKind.DEPOSIT, 2, 0, "ZAR", 100), other]) == (
        "business_key_reused"
    )
    assert side.balances() == after
