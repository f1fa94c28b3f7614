"""What the payments gateway announces: one class for each message."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from octoco.money import Money

_NOT_IN_A_CODE = re.compile(r"[^a-z0-9_.]+")
REASON_LENGTH_MAX = 100


def reason_code(text: str | None) -> str:
    """Bring a provider's code into the alphabet of our messages; `unknown` if there is none."""
    code = _NOT_IN_A_CODE.sub("_", (text or "").lower()).strip("_")[:REASON_LENGTH_MAX]
    return code or "unknown"


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _optional_money(text: str | None, currency: str) -> Money | None:
    return None if text is None else Money.parse(text, currency)


def _amount(money: Money | None) -> str | None:
    return None if money is None else money.amount_text


@dataclass(frozen=True, slots=True)
class CheckoutOpened:
    """A checkout page is ready for the user."""

    TYPE: ClassVar[str] = "payments.checkout.opened.v1"

    transaction_id: str
    purchase_id: str
    checkout_url: str
    expires_at: datetime

    @property
    def aggregate_id(self) -> str:
        return self.transaction_id

    def to_data(self) -> dict[str, object]:
        return {
            "transaction_id": self.transaction_id,
            "purchase_id": self.purchase_id,
            "checkout_url": self.checkout_url,
            "expires_at": _instant(self.expires_at),
        }


@dataclass(frozen=True, slots=True)
class CheckoutAttemptFailed:
    """A try at the checkout failed; the user may try again."""

    TYPE: ClassVar[str] = "payments.checkout.attempt_failed.v1"

    transaction_id: str
    purchase_id: str
    reason_code: str

    @property
    def aggregate_id(self) -> str:
        return self.transaction_id

    def to_data(self) -> dict[str, object]:
        return {
            "transaction_id": self.transaction_id,
            "purchase_id": self.purchase_id,
            "reason_code": self.reason_code,
        }


@dataclass(frozen=True, slots=True)
class CheckoutClosed:
    """A checkout ended without money; money may still come late."""

    TYPE: ClassVar[str] = "payments.checkout.closed.v1"

    transaction_id: str
    purchase_id: str | None
    status: str
    reason_code: str

    @property
    def aggregate_id(self) -> str:
        return self.transaction_id

    def to_data(self) -> dict[str, object]:
        return {
            "transaction_id": self.transaction_id,
            "purchase_id": self.purchase_id,
            "status": self.status,
            "reason_code": self.reason_code,
        }


@dataclass(frozen=True, slots=True)
class DepositPaid:
    """Money came in. A money fact."""

    TYPE: ClassVar[str] = "payments.deposit.paid.v1"

    fact_key: str
    purchase_id: str
    transaction_id: str | None
    money: Money
    fee: Money | None
    paid_at: datetime

    @property
    def aggregate_id(self) -> str:
        return self.transaction_id or self.purchase_id

    def to_data(self) -> dict[str, object]:
        return {
            "fact_key": self.fact_key,
            "purchase_id": self.purchase_id,
            "transaction_id": self.transaction_id,
            "amount": self.money.amount_text,
            "currency": self.money.currency,
            "fee_amount": _amount(self.fee),
            "paid_at": _instant(self.paid_at),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "DepositPaid":
        """Rebuild the message from what `to_data` made of it."""
        return cls(
            fact_key=data["fact_key"],
            purchase_id=data["purchase_id"],
            transaction_id=data["transaction_id"],
            money=Money.parse(data["amount"], data["currency"]),
            fee=_optional_money(data["fee_amount"], data["currency"]),
            paid_at=datetime.fromisoformat(data["paid_at"]),
        )


@dataclass(frozen=True, slots=True)
class RefundSucceeded:
    """Money of a purchase was given back to the payer. A money fact."""

    TYPE: ClassVar[str] = "payments.refund.succeeded.v1"

    fact_key: str
    payment_id: str
    purchase_id: str
    transaction_id: str | None
    money: Money
    refunded_at: datetime

    @property
    def aggregate_id(self) -> str:
        return self.transaction_id or self.purchase_id

    def to_data(self) -> dict[str, object]:
        return {
            "fact_key": self.fact_key,
            "payment_id": self.payment_id,
            "purchase_id": self.purchase_id,
            "transaction_id": self.transaction_id,
            "amount": self.money.amount_text,
            "currency": self.money.currency,
            "refunded_at": _instant(self.refunded_at),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "RefundSucceeded":
        """Rebuild the message from what `to_data` made of it."""
        return cls(
            fact_key=data["fact_key"],
            payment_id=data["payment_id"],
            purchase_id=data["purchase_id"],
            transaction_id=data["transaction_id"],
            money=Money.parse(data["amount"], data["currency"]),
            refunded_at=datetime.fromisoformat(data["refunded_at"]),
        )


@dataclass(frozen=True, slots=True)
class ChargebackOpened:
    """The payer's bank took money of a purchase back. A money fact."""

    TYPE: ClassVar[str] = "payments.chargeback.opened.v1"

    fact_key: str
    chargeback_id: str
    purchase_id: str
    transaction_id: str | None
    money: Money
    opened_at: datetime

    @property
    def aggregate_id(self) -> str:
        return self.transaction_id or self.purchase_id

    def to_data(self) -> dict[str, object]:
        return {
            "fact_key": self.fact_key,
            "chargeback_id": self.chargeback_id,
            "purchase_id": self.purchase_id,
            "transaction_id": self.transaction_id,
            "amount": self.money.amount_text,
            "currency": self.money.currency,
            "opened_at": _instant(self.opened_at),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "ChargebackOpened":
        """Rebuild the message from what `to_data` made of it."""
        return cls(
            fact_key=data["fact_key"],
            chargeback_id=data["chargeback_id"],
            purchase_id=data["purchase_id"],
            transaction_id=data["transaction_id"],
            money=Money.parse(data["amount"], data["currency"]),
            opened_at=datetime.fromisoformat(data["opened_at"]),
        )


@dataclass(frozen=True, slots=True)
class ChargebackReversed:
    """A chargeback was won: its money came back. A money fact."""

    TYPE: ClassVar[str] = "payments.chargeback.reversed.v1"

    fact_key: str
    chargeback_id: str
    purchase_id: str
    transaction_id: str | None
    money: Money
    reversed_at: datetime

    @property
    def aggregate_id(self) -> str:
        return self.transaction_id or self.purchase_id

    def to_data(self) -> dict[str, object]:
        return {
            "fact_key": self.fact_key,
            "chargeback_id": self.chargeback_id,
            "purchase_id": self.purchase_id,
            "transaction_id": self.transaction_id,
            "amount": self.money.amount_text,
            "currency": self.money.currency,
            "reversed_at": _instant(self.reversed_at),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "ChargebackReversed":
        """Rebuild the message from what `to_data` made of it."""
        return cls(
            fact_key=data["fact_key"],
            chargeback_id=data["chargeback_id"],
            purchase_id=data["purchase_id"],
            transaction_id=data["transaction_id"],
            money=Money.parse(data["amount"], data["currency"]),
            reversed_at=datetime.fromisoformat(data["reversed_at"]),
        )


@dataclass(frozen=True, slots=True)
class PayoutAccepted:
    """The provider took the payout; it is on its way to the bank."""

    TYPE: ClassVar[str] = "payments.payout.accepted.v1"

    transaction_id: str
    payout_id: str

    @property
    def aggregate_id(self) -> str:
        return self.transaction_id

    def to_data(self) -> dict[str, object]:
        return {"transaction_id": self.transaction_id, "payout_id": self.payout_id}


@dataclass(frozen=True, slots=True)
class PayoutSucceeded:
    """The payout reached the bank. A money fact."""

    TYPE: ClassVar[str] = "payments.payout.succeeded.v1"

    fact_key: str
    transaction_id: str
    payout_id: str
    money: Money
    fee: Money | None
    succeeded_at: datetime

    @property
    def aggregate_id(self) -> str:
        return self.transaction_id

    def to_data(self) -> dict[str, object]:
        return {
            "fact_key": self.fact_key,
            "transaction_id": self.transaction_id,
            "payout_id": self.payout_id,
            "amount": self.money.amount_text,
            "currency": self.money.currency,
            "fee_amount": _amount(self.fee),
            "succeeded_at": _instant(self.succeeded_at),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "PayoutSucceeded":
        """Rebuild the message from what `to_data` made of it."""
        return cls(
            fact_key=data["fact_key"],
            transaction_id=data["transaction_id"],
            payout_id=data["payout_id"],
            money=Money.parse(data["amount"], data["currency"]),
            fee=_optional_money(data["fee_amount"], data["currency"]),
            succeeded_at=datetime.fromisoformat(data["succeeded_at"]),
        )


@dataclass(frozen=True, slots=True)
class PayoutFailed:
    """The payout ended without paying anybody. A money fact."""

    TYPE: ClassVar[str] = "payments.payout.failed.v1"

    fact_key: str
    transaction_id: str
    payout_id: str | None
    money: Money
    reason_code: str
    failed_at: datetime

    @property
    def aggregate_id(self) -> str:
        return self.transaction_id

    def to_data(self) -> dict[str, object]:
        return {
            "fact_key": self.fact_key,
            "transaction_id": self.transaction_id,
            "payout_id": self.payout_id,
            "amount": self.money.amount_text,
            "currency": self.money.currency,
            "reason_code": self.reason_code,
            "failed_at": _instant(self.failed_at),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "PayoutFailed":
        """Rebuild the message from what `to_data` made of it."""
        return cls(
            fact_key=data["fact_key"],
            transaction_id=data["transaction_id"],
            payout_id=data["payout_id"],
            money=Money.parse(data["amount"], data["currency"]),
            reason_code=data["reason_code"],
            failed_at=datetime.fromisoformat(data["failed_at"]),
        )


@dataclass(frozen=True, slots=True)
class PayoutCancelled:
    """The payout was stopped before its execution began, and never will begin."""

    TYPE: ClassVar[str] = "payments.payout.cancelled.v1"

    transaction_id: str

    @property
    def aggregate_id(self) -> str:
        return self.transaction_id

    def to_data(self) -> dict[str, object]:
        return {"transaction_id": self.transaction_id}


@dataclass(frozen=True, slots=True)
class PayoutCancelRefused:
    """The payout could not be stopped any more."""

    TYPE: ClassVar[str] = "payments.payout.cancel_refused.v1"

    transaction_id: str
    reason_code: str

    @property
    def aggregate_id(self) -> str:
        return self.transaction_id

    def to_data(self) -> dict[str, object]:
        return {"transaction_id": self.transaction_id, "reason_code": self.reason_code}


@dataclass(frozen=True, slots=True)
class BankAccountVerified:
    """A bank account may be paid out to."""

    TYPE: ClassVar[str] = "payments.bank_account.verified.v1"

    bank_account_id: str
    user_id: str
    masked_number: str
    bank_name: str
    verified_at: datetime

    @property
    def aggregate_id(self) -> str:
        return self.bank_account_id

    def to_data(self) -> dict[str, object]:
        return {
            "bank_account_id": self.bank_account_id,
            "user_id": self.user_id,
            "masked_number": self.masked_number,
            "bank_name": self.bank_name,
            "verified_at": _instant(self.verified_at),
        }


@dataclass(frozen=True, slots=True)
class BankAccountRemoved:
    """A user removed a bank account."""

    TYPE: ClassVar[str] = "payments.bank_account.removed.v1"

    bank_account_id: str
    user_id: str

    @property
    def aggregate_id(self) -> str:
        return self.bank_account_id

    def to_data(self) -> dict[str, object]:
        return {"bank_account_id": self.bank_account_id, "user_id": self.user_id}


MoneyFactMessage = (
    DepositPaid
    | RefundSucceeded
    | ChargebackOpened
    | ChargebackReversed
    | PayoutSucceeded
    | PayoutFailed
)


def money_fact_message(type: str, data: Mapping[str, Any]) -> MoneyFactMessage:
    """Rebuild a stored money fact's message, word for word.

    Raises:
        KeyError: no money fact has this type (a bug).
    """
    classes: dict[str, Callable[[Mapping[str, Any]], MoneyFactMessage]] = {
        DepositPaid.TYPE: DepositPaid.from_data,
        RefundSucceeded.TYPE: RefundSucceeded.from_data,
        ChargebackOpened.TYPE: ChargebackOpened.from_data,
        ChargebackReversed.TYPE: ChargebackReversed.from_data,
        PayoutSucceeded.TYPE: PayoutSucceeded.from_data,
        PayoutFailed.TYPE: PayoutFailed.from_data,
    }
    return classes[type](data)
