"""Play the other services: hand the wallet their events, as the consumer would."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy

from octoco.events import Event
from octoco.ids import new_id
from octoco.money import Money
from wallet.bootstrap import Wallet
from wallet.domain.ledger import Balance
from wallet.domain.transactions import Transaction
from wallet.entrypoints.consumer import subscriptions
from wallet.use_cases.request_deposit import request_deposit
from wallet.use_cases.request_withdrawal import request_withdrawal

NO_WAIT = "wait=0"


def zar(amount: str) -> Money:
    return Money.parse(amount, "ZAR")


def instant() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def event_of(event_type: str, data: Mapping[str, Any]) -> Event:
    return Event(
        id=new_id("msg"),
        type=event_type,
        source="test",
        aggregate_id="test",
        occurred_at=datetime.now(UTC),
        data=data,
        correlation_id=new_id("cor"),
    )


class Driver:
    """Plays a wallet's neighbours and its users, on real units of work."""

    def __init__(self, wallet: Wallet) -> None:
        self.wallet = wallet
        self._handlers = subscriptions(wallet)

    def deliver(self, event_type: str, **data: Any) -> None:
        """Check an event against its contract and handle it in a unit of its own."""
        self.wallet.contracts.check_outbound(event_type, data)
        event = event_of(event_type, data)
        self.wallet.units.run(lambda unit: self._handlers[event_type](unit, event))

    def new_user(self) -> str:
        user_id = new_id("usr")
        self.deliver(
            "accounts.user.registered.v1",
            user_id=user_id,
            email="thandi@example.com",
            full_name="Thandi Nkosi",
            registered_at=instant(),
        )
        return user_id

    def new_bank_account(self, user_id: str) -> str:
        bank_account_id = new_id("ba")
        self.deliver(
            "payments.bank_account.verified.v1",
            bank_account_id=bank_account_id,
            user_id=user_id,
            masked_number="******1234",
            bank_name="Example Bank",
            verified_at=instant(),
        )
        return bank_account_id

    def request_deposit(self, user_id: str, money: Money) -> Transaction:
        return self.wallet.units.run(
            lambda unit: request_deposit(
                unit,
                user_id=user_id,
                money=money,
                limits=self.wallet.settings.limits,
                at=self.wallet.clock.now(),
            )
        )

    def open_checkout(self, transaction_id: str, *, purchase_id: str | None = None) -> None:
        self.deliver(
            "payments.checkout.opened.v1",
            transaction_id=transaction_id,
            purchase_id=purchase_id or new_id("pur"),
            checkout_url="https://checkout.example/p/1",
            expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
        )

    def pay(
        self,
        transaction_id: str | None,
        money: Money,
        *,
        purchase_id: str,
        fee: str | None = None,
    ) -> None:
        self.deliver(
            "payments.deposit.paid.v1",
            fact_key=f"purchase:{purchase_id}",
            purchase_id=purchase_id,
            transaction_id=transaction_id,
            amount=money.amount_text,
            currency=money.currency,
            fee_amount=fee,
            paid_at=instant(),
        )

    def refund(self, purchase_id: str, money: Money, *, payment_id: str) -> None:
        self.deliver(
            "payments.refund.succeeded.v1",
            fact_key=f"refund:{payment_id}",
            payment_id=payment_id,
            purchase_id=purchase_id,
            transaction_id=None,
            amount=money.amount_text,
            currency=money.currency,
            refunded_at=instant(),
        )

    def charge_back(self, purchase_id: str, money: Money, *, chargeback_id: str) -> None:
        self.deliver(
            "payments.chargeback.opened.v1",
            fact_key=f"chargeback:{chargeback_id}",
            chargeback_id=chargeback_id,
            purchase_id=purchase_id,
            transaction_id=None,
            amount=money.amount_text,
            currency=money.currency,
            opened_at=instant(),
        )

    def win_chargeback(self, purchase_id: str, money: Money, *, chargeback_id: str) -> None:
        self.deliver(
            "payments.chargeback.reversed.v1",
            fact_key=f"chargeback_reversed:{chargeback_id}",
            chargeback_id=chargeback_id,
            purchase_id=purchase_id,
            transaction_id=None,
            amount=money.amount_text,
            currency=money.currency,
            reversed_at=instant(),
        )

    def answer(self, fact_key: str) -> tuple[str, str | None]:
        """Return outcome and code of the answer that is kept for a fact."""
        (row,) = self.rows(
            "SELECT outcome, code FROM money_fact_answers WHERE fact_key = :key", key=fact_key
        )
        return row.outcome, row.code

    def user_with(self, amount: str, *, currency: str = "ZAR") -> str:
        """Register a user and let them pay in."""
        user_id = self.new_user()
        money = Money.parse(amount, currency)
        deposit = self.request_deposit(user_id, money)
        self.pay(deposit.id, money, purchase_id=new_id("pur"))
        return user_id

    def request_withdrawal(
        self, user_id: str, money: Money, *, bank_account_id: str
    ) -> Transaction:
        return self.wallet.units.run(
            lambda unit: request_withdrawal(
                unit,
                user_id=user_id,
                money=money,
                bank_account_id=bank_account_id,
                limits=self.wallet.settings.limits,
                at=self.wallet.clock.now(),
            ),
            contended_on=user_id,
        )

    def accept_payout(self, transaction_id: str, payout_id: str) -> None:
        self.deliver(
            "payments.payout.accepted.v1", transaction_id=transaction_id, payout_id=payout_id
        )

    def succeed_payout(
        self, transaction_id: str, money: Money, payout_id: str, *, fee: str | None = None
    ) -> None:
        self.deliver(
            "payments.payout.succeeded.v1",
            fact_key=f"payout:{payout_id}",
            transaction_id=transaction_id,
            payout_id=payout_id,
            amount=money.amount_text,
            currency=money.currency,
            fee_amount=fee,
            succeeded_at=instant(),
        )

    def fail_payout(self, transaction_id: str, money: Money) -> None:
        self.deliver(
            "payments.payout.failed.v1",
            fact_key=f"payout_failed:{transaction_id}",
            transaction_id=transaction_id,
            payout_id=None,
            amount=money.amount_text,
            currency=money.currency,
            reason_code="account_closed",
            failed_at=instant(),
        )

    def balance(self, user_id: str, currency: str = "ZAR") -> Balance:
        balances = self.wallet.units.read(lambda unit: unit.ledger.balances(user_id=user_id))
        return next(one for one in balances if one.currency == currency)

    def status(self, transaction_id: str) -> str:
        return str(self.scalar("SELECT status FROM transactions WHERE id = :id", id=transaction_id))

    def scalar(self, query: str, **parameters: Any) -> Any:
        return self.wallet.database.read(
            lambda connection: connection.execute(sqlalchemy.text(query), parameters).scalar()
        )

    def rows(self, query: str, **parameters: Any) -> list[Any]:
        return self.wallet.database.read(
            lambda connection: list(connection.execute(sqlalchemy.text(query), parameters))
        )

    def announced(self, aggregate_id: str) -> list[str]:
        """Return the types of the messages stored for an aggregate, oldest first."""
        rows = self.rows(
            "SELECT event_type FROM outbox WHERE aggregate_id = :id ORDER BY id", id=aggregate_id
        )
        return [row.event_type for row in rows]
