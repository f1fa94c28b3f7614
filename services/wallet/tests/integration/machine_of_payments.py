"""Users ask, the provider tells, and the ledger's port is used by hand, on both sides."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from octoco.errors import Refusal
from octoco.ids import new_id
from octoco.money import Money
from wallet.adapters.postgres.ledger_audit import findings_on
from wallet.adapters.postgres.unit import PostgresWalletUnit
from wallet.bootstrap import Wallet
from wallet.domain.limits import Bounds, Limits
from wallet.domain.transactions import Transaction
from wallet.use_cases.cancel_withdrawal import request_withdrawal_cancel

from .books_compared import what_is_expected, what_is_stored
from .driving import Driver, instant
from .fresh_wallets import FreshWallets
from .ledger_model import Refused
from .wallet_model import Answer, Asked, WalletModel

CURRENCIES: Final = ("ZAR", "JPY", "KWD")
USERS_MAX: Final = 3
# What nobody reverses: there is no use case for it.
NEVER_REVERSED: Final = frozenset({"refund", "suspense_assignment"})
# Limits are tested elsewhere; here they stop nobody, but large withdrawals are reviewed.
_OFFERED: Final = dict.fromkeys(CURRENCIES)
REVIEW_ABOVE: Final = {currency: Money.from_minor(20000, currency) for currency in CURRENCIES}
FREE: Final = Limits(
    deposits=Bounds(per_transaction=_OFFERED),
    withdrawals=Bounds(per_transaction=_OFFERED, review_above=REVIEW_ABOVE),
)
# Few different amounts, so that they often are equal, sum up, or differ by the smallest unit.
AMOUNTS = st.builds(
    Money.from_minor,
    st.sampled_from([1, 2, 99, 100, 101, 2500, 40000]) | st.integers(1, 50000),
    # Mostly one, so that what happens meets what has happened.
    st.sampled_from(["ZAR"] * 4 + ["JPY", "KWD"]),
)
AS_IT_IS: Final = "as it is"
ROUND: Final = Money.from_minor(10000, "ZAR")
MUTATIONS = st.sampled_from([AS_IT_IS] * 6 + ["a little more", "a little less", "other currency"])
FEES = st.none() | st.sampled_from([0, 1, 5, 120])


def mutated(money: Money, mutation: str) -> Money:
    """Return the money as it is, or off by its smallest unit, or in another currency."""
    little = Money.from_minor(1, money.currency)
    if mutation == "a little more":
        return money + little
    if mutation == "a little less" and money > little:
        return money - little
    if mutation == "other currency":
        place = (CURRENCIES.index(money.currency) + 1) % len(CURRENCIES)
        return Money.from_minor(money.to_minor(), CURRENCIES[place])
    return money


def fee_of(money: Money, minor: int | None) -> Money | None:
    return None if minor is None else Money.from_minor(minor, money.currency)


class PaymentsMachine(RuleBasedStateMachine):
    """The wallet and its model side by side: users, what the provider tells, and the bare port.

    Args:
        wallets: Gives every example a wallet of its own.
    """

    users = Bundle("users")
    deposits = Bundle("deposits")
    withdrawals = Bundle("withdrawals")
    purchases = Bundle("purchases")
    payouts = Bundle("payouts")
    holds = Bundle("holds")

    def __init__(self, wallets: FreshWallets) -> None:
        super().__init__()
        self._ended = ExitStack()
        self.wallet: Wallet = self._ended.enter_context(wallets.one(limits=FREE))
        self.driver = Driver(self.wallet)
        self.model = WalletModel()
        self.bank_accounts: dict[str, str] = {}
        self.first = [self._register() for _ in range(2)]

    def teardown(self) -> None:
        self._ended.close()

    # ---- users, and what they ask for

    # Every example begins with something of each kind: without it most would come to nothing.

    @initialize(target=users)
    def begin_with_users(self) -> Any:
        return multiple(*self.first)

    @initialize(target=deposits)
    def begin_with_deposits(self) -> Any:
        return multiple(*(self.ask_deposit(user_id, ROUND) for user_id in self.first))

    @initialize(target=purchases)
    def begin_with_purchases(self) -> Any:
        credited = [self.pay_in(user_id, ROUND, 5) for user_id in self.first]
        return multiple(*credited, self.pay_what_nobody_asked_for(ROUND, None, 5))

    @initialize(target=withdrawals)
    def begin_with_withdrawals(self) -> Any:
        return multiple(*(self.spend_what_comes_in(user_id) for user_id in self.first))

    @initialize(target=holds)
    def begin_with_a_hold(self) -> Any:
        self.pay_in(self.first[0], ROUND, None)
        return self.hold(self.first[0], ROUND)

    def spend_what_comes_in(self, user_id: str) -> Any:
        # Enough to have some left when a debt is repaid.
        self.pay_in(user_id, ROUND + ROUND, None)
        available = self.model.books.purse(user_id, ROUND.currency).available
        return self.ask_withdrawal(user_id, available, everything=True)

    @precondition(lambda self: len(self.bank_accounts) < USERS_MAX)
    @rule(target=users)
    def register(self) -> str:
        return self._register()

    def _register(self) -> str:
        user_id = self.driver.new_user()
        self.bank_accounts[user_id] = self.driver.new_bank_account(user_id)
        for currency in CURRENCIES:
            self.model.books.open_purse(user_id, currency)
        return user_id

    @rule(target=deposits, user_id=users, money=AMOUNTS)
    def ask_for_a_deposit(self, user_id: str, money: Money) -> Any:
        return self.ask_deposit(user_id, money)

    def ask_deposit(self, user_id: str, money: Money) -> Any:
        asked = self.asked_for(
            lambda: self.driver.request_deposit(user_id, money),
            self.model.why_no_deposit(user_id),
        )
        if asked is None:
            return multiple()
        self.model.transactions[asked.id] = Asked("deposit", user_id, money)
        return asked.id

    @rule(target=purchases, user_id=users, money=AMOUNTS, fee=FEES)
    def pay_in(self, user_id: str, money: Money, fee: int | None) -> Any:
        deposit = self.ask_deposit(user_id, money)
        if not isinstance(deposit, str):
            return multiple()
        purchase_id = new_id("pur")
        self.tell_paid(purchase_id, deposit, money, fee)
        return purchase_id

    @rule(target=withdrawals, user_id=users, money=AMOUNTS, everything=st.booleans())
    def ask_withdrawal(self, user_id: str, money: Money, *, everything: bool) -> Any:
        available = self.model.books.purse(user_id, money.currency).available
        if everything and available.is_positive:
            money = available
        asked = self.asked_for(
            lambda: self.driver.request_withdrawal(
                user_id, money, bank_account_id=self.bank_accounts[user_id]
            ),
            self.model.why_no_withdrawal(user_id, money),
        )
        if asked is None:
            return multiple()
        in_review = money > REVIEW_ABOVE[money.currency]
        self.model.withdraw(asked.id, user_id, money, in_review=in_review)
        return asked.id

    @rule(withdrawal=withdrawals)
    def ask_to_cancel(self, withdrawal: str) -> None:
        user_id = self.model.transactions[withdrawal].user_id
        self.both(
            lambda unit: request_withdrawal_cancel(
                unit, user_id=user_id, transaction_id=withdrawal, at=datetime.now(UTC)
            ),
            lambda: self.model.cancel_by_user(withdrawal),
        )

    @rule(user_id=users)
    def freeze(self, user_id: str) -> None:
        self._tell_of_freeze("frozen", user_id)
        self.model.frozen.add(user_id)

    @rule(user_id=users)
    def unfreeze(self, user_id: str) -> None:
        self._tell_of_freeze("unfrozen", user_id)
        self.model.frozen.discard(user_id)

    # ---- what the provider tells of deposits

    @rule(deposit=deposits)
    def open_checkout(self, deposit: str) -> None:
        self.driver.open_checkout(deposit)

    @rule(deposit=deposits, status=st.sampled_from(["failed", "expired", "cancelled"]))
    def close_checkout(self, deposit: str, status: str) -> None:
        self.driver.deliver(
            "payments.checkout.closed.v1",
            transaction_id=deposit,
            purchase_id=None,
            status=status,
            reason_code="checkout_expired",
        )
        self.model.close_checkout(deposit, status)

    @rule(target=purchases, deposit=deposits, mutation=MUTATIONS, fee=FEES)
    def pay(self, deposit: str, mutation: str, fee: int | None) -> str:
        purchase_id = new_id("pur")
        money = mutated(self.model.transactions[deposit].money, mutation)
        self.tell_paid(purchase_id, deposit, money, fee)
        return purchase_id

    @rule(target=purchases, money=AMOUNTS, whose=st.none() | withdrawals, fee=FEES)
    def pay_what_nobody_asked_for(self, money: Money, whose: str | None, fee: int | None) -> str:
        purchase_id = new_id("pur")
        self.tell_paid(purchase_id, whose, money, fee)
        return purchase_id

    @rule(purchase=purchases, deposit=st.none() | deposits, mutation=MUTATIONS, fee=FEES)
    def tell_again_of_a_purchase(
        self, purchase: str, deposit: str | None, mutation: str, fee: int | None
    ) -> None:
        money, _ = self.model.told[f"purchase:{purchase}"]
        self.tell_paid(purchase, deposit, mutated(money, mutation), fee)

    # ---- what the provider tells of payouts

    @rule(withdrawal=withdrawals)
    def accept_payout(self, withdrawal: str) -> None:
        self.driver.accept_payout(withdrawal, new_id("out"))
        self.model.accept_payout(withdrawal)

    @rule(withdrawal=withdrawals)
    def cancel_payout(self, withdrawal: str) -> None:
        self.driver.deliver("payments.payout.cancelled.v1", transaction_id=withdrawal)
        self.model.cancel_payout(withdrawal)

    @rule(target=payouts, withdrawal=withdrawals, mutation=MUTATIONS, fee=FEES)
    def succeed_payout(self, withdrawal: str, mutation: str, fee: int | None) -> str:
        payout_id = new_id("out")
        money = mutated(self.model.transactions[withdrawal].money, mutation)
        self._tell_paid_out(payout_id, withdrawal, money, fee)
        return payout_id

    @rule(payout=payouts, withdrawal=withdrawals, mutation=MUTATIONS, fee=FEES)
    def tell_again_of_a_payout(
        self, payout: str, withdrawal: str, mutation: str, fee: int | None
    ) -> None:
        money, _ = self.model.told[f"payout:{payout}"]
        self._tell_paid_out(payout, withdrawal, mutated(money, mutation), fee)

    @rule(withdrawal=withdrawals | deposits, mutation=MUTATIONS)
    def fail_payout(self, withdrawal: str, mutation: str) -> None:
        money = mutated(self.model.transactions[withdrawal].money, mutation)
        self.driver.fail_payout(withdrawal, money)
        self.expect_answer(
            f"payout_failed:{withdrawal}", self.model.payout_failed(withdrawal, money)
        )

    # ---- at the ledger's own port

    @rule(target=holds, user_id=users, money=AMOUNTS)
    def hold(self, user_id: str, money: Money) -> str:
        subject = new_id("txn")
        self._hold(subject, user_id, money)
        return subject

    @rule(subject=holds, user_id=users, money=AMOUNTS)
    def hold_again(self, subject: str, user_id: str, money: Money) -> None:
        self._hold(subject, user_id, money)

    @rule(subject=holds, money=AMOUNTS, everything=st.booleans())
    def settle(self, subject: str, money: Money, *, everything: bool) -> None:
        stored = self.model.books.holds.get(subject)
        if stored is not None:
            whole = stored.money
            money = whole if everything else Money.from_minor(money.to_minor(), whole.currency)
        self.both(
            lambda unit: unit.ledger.settle_hold(
                transaction_id=subject, money=money, effective_at=datetime.now(UTC)
            ),
            lambda: self.model.books.settle(subject, money),
        )

    @rule(subject=holds)
    def release(self, subject: str) -> None:
        self.both(
            lambda unit: unit.ledger.release_hold(
                transaction_id=subject, effective_at=datetime.now(UTC)
            ),
            lambda: self.model.books.release(subject),
        )

    @rule(data=st.data())
    def reverse(self, data: st.DataObject) -> None:
        posted = self.model.books.posted
        keys = [key for key, one in posted.items() if one.kind not in NEVER_REVERSED]
        keys.append("purchase:none")
        key = data.draw(st.sampled_from(keys), label="business key")
        self.both(
            lambda unit: unit.ledger.reverse(business_key=key, effective_at=datetime.now(UTC)),
            lambda: self.model.books.reverse(key),
        )

    # ---- what must hold after each step

    @invariant()
    def the_books_are_the_models(self) -> None:
        real = self.wallet.units.read(lambda unit: what_is_stored(unit.connection))
        assert real == what_is_expected(self.model)

    @invariant()
    def everything_that_verify_checks_holds(self) -> None:
        findings = self.wallet.database.read(
            lambda connection: findings_on(connection, on_check=lambda _: None)
        )
        # A hold that was placed at the port belongs to no withdrawal until it has ended.
        loose = any(
            hold.ended is None and subject not in self.model.transactions
            for subject, hold in self.model.books.holds.items()
        )
        broken = [
            (finding.check.name, finding.row)
            for finding in findings
            if not finding.holds
            and not (loose and finding.check.name == "open holds are those of open withdrawals")
        ]
        assert broken == []

    # ---- both sides at once

    def _tell_of_freeze(self, change: str, user_id: str) -> None:
        self.driver.deliver(
            f"accounts.user.{change}.v1",
            **{"user_id": user_id, f"{change}_at": instant()},
        )

    def asked_for(self, ask: Callable[[], Transaction], code: str | None) -> Transaction | None:
        """Ask for a transaction that must be refused with the code, if one is given."""
        try:
            asked = ask()
        except Refusal as refusal:
            answered = refusal.code
        else:
            assert code is None
            return asked
        assert answered == code
        return None

    def tell_paid(
        self, purchase_id: str, transaction_id: str | None, money: Money, fee: int | None
    ) -> None:
        taken = fee_of(money, fee)
        self.driver.pay(
            transaction_id,
            money,
            purchase_id=purchase_id,
            fee=None if taken is None else taken.amount_text,
        )
        answer = self.model.paid(purchase_id, transaction_id, money, fee=taken)
        self.expect_answer(f"purchase:{purchase_id}", answer)

    def _tell_paid_out(
        self, payout_id: str, withdrawal: str, money: Money, fee: int | None
    ) -> None:
        taken = fee_of(money, fee)
        self.driver.succeed_payout(
            withdrawal, money, payout_id, fee=None if taken is None else taken.amount_text
        )
        answer = self.model.paid_out(payout_id, withdrawal, money, fee=taken)
        self.expect_answer(f"payout:{payout_id}", answer)

    def _hold(self, subject: str, user_id: str, money: Money) -> None:
        self.both(
            lambda unit: unit.ledger.place_hold(
                transaction_id=subject,
                user_id=user_id,
                money=money,
                effective_at=datetime.now(UTC),
            ),
            lambda: self.model.books.hold(subject, user_id, money),
        )

    def both(self, real: Callable[[PostgresWalletUnit], object], model: Callable[[], None]) -> str:
        """Do the same on both sides, and check that both say the same of it."""
        expected = _code_of_model(model)
        try:
            self.wallet.units.run(real)
        except Refusal as refusal:
            answered = refusal.code
        else:
            answered = "booked"
        assert answered == expected
        return answered

    def expect_answer(self, fact_key: str, expected: Answer) -> None:
        """Check what was announced last about a fact."""
        told = self.driver.scalar(
            "SELECT data FROM outbox WHERE aggregate_id = :key ORDER BY id DESC LIMIT 1",
            key=fact_key,
        )
        assert Answer(told["outcome"], told["code"], told["transaction_id"]) == expected


def _code_of_model(work: Callable[[], None]) -> str:
    try:
        work()
    except Refused as refused:
        return refused.code
    return "booked"
