"""What the wallet listens to: its own reading of other services' events."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from octoco.money import Money


@dataclass(frozen=True, slots=True)
class UserRegistered:
    TYPE: ClassVar[str] = "accounts.user.registered.v1"
    user_id: str
    registered_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "UserRegistered":
        return cls(data["user_id"], _instant(data["registered_at"]))


@dataclass(frozen=True, slots=True)
class EmailVerified:
    TYPE: ClassVar[str] = "accounts.user.email_verified.v1"
    user_id: str
    verified_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "EmailVerified":
        return cls(data["user_id"], _instant(data["verified_at"]))


@dataclass(frozen=True, slots=True)
class UserFrozen:
    TYPE: ClassVar[str] = "accounts.user.frozen.v1"
    user_id: str
    frozen_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "UserFrozen":
        return cls(data["user_id"], _instant(data["frozen_at"]))


@dataclass(frozen=True, slots=True)
class UserUnfrozen:
    TYPE: ClassVar[str] = "accounts.user.unfrozen.v1"
    user_id: str
    unfrozen_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "UserUnfrozen":
        return cls(data["user_id"], _instant(data["unfrozen_at"]))


@dataclass(frozen=True, slots=True)
class CheckoutOpened:
    TYPE: ClassVar[str] = "payments.checkout.opened.v1"
    transaction_id: str
    purchase_id: str
    checkout_url: str
    expires_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "CheckoutOpened":
        return cls(
            data["transaction_id"],
            data["purchase_id"],
            data["checkout_url"],
            _instant(data["expires_at"]),
        )


@dataclass(frozen=True, slots=True)
class CheckoutAttemptFailed:
    TYPE: ClassVar[str] = "payments.checkout.attempt_failed.v1"
    transaction_id: str
    purchase_id: str
    reason_code: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "CheckoutAttemptFailed":
        return cls(data["transaction_id"], data["purchase_id"], data["reason_code"])


@dataclass(frozen=True, slots=True)
class CheckoutClosed:
    TYPE: ClassVar[str] = "payments.checkout.closed.v1"
    transaction_id: str
    purchase_id: str | None
    status: str
    reason_code: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "CheckoutClosed":
        return cls(data["transaction_id"], data["purchase_id"], data["status"], data["reason_code"])


@dataclass(frozen=True, slots=True)
class DepositPaid:
    TYPE: ClassVar[str] = "payments.deposit.paid.v1"
    fact_key: str
    purchase_id: str
    transaction_id: str | None
    money: Money
    fee: Money | None
    paid_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "DepositPaid":
        return cls(
            data["fact_key"],
            data["purchase_id"],
            data["transaction_id"],
            _money(data),
            _fee(data),
            _instant(data["paid_at"]),
        )


@dataclass(frozen=True, slots=True)
class RefundSucceeded:
    TYPE: ClassVar[str] = "payments.refund.succeeded.v1"
    fact_key: str
    payment_id: str
    purchase_id: str
    transaction_id: str | None
    money: Money
    refunded_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "RefundSucceeded":
        return cls(
            data["fact_key"],
            data["payment_id"],
            data["purchase_id"],
            data["transaction_id"],
            _money(data),
            _instant(data["refunded_at"]),
        )


@dataclass(frozen=True, slots=True)
class ChargebackOpened:
    TYPE: ClassVar[str] = "payments.chargeback.opened.v1"
    fact_key: str
    chargeback_id: str
    purchase_id: str
    transaction_id: str | None
    money: Money
    opened_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "ChargebackOpened":
        return cls(
            data["fact_key"],
            data["chargeback_id"],
            data["purchase_id"],
            data["transaction_id"],
            _money(data),
            _instant(data["opened_at"]),
        )


@dataclass(frozen=True, slots=True)
class ChargebackReversed:
    TYPE: ClassVar[str] = "payments.chargeback.reversed.v1"
    fact_key: str
    chargeback_id: str
    purchase_id: str
    transaction_id: str | None
    money: Money
    reversed_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "ChargebackReversed":
        return cls(
            data["fact_key"],
            data["chargeback_id"],
            data["purchase_id"],
            data["transaction_id"],
            _money(data),
            _instant(data["reversed_at"]),
        )


@dataclass(frozen=True, slots=True)
class PayoutAccepted:
    TYPE: ClassVar[str] = "payments.payout.accepted.v1"
    transaction_id: str
    payout_id: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "PayoutAccepted":
        return cls(data["transaction_id"], data["payout_id"])


@dataclass(frozen=True, slots=True)
class PayoutSucceeded:
    TYPE: ClassVar[str] = "payments.payout.succeeded.v1"
    fact_key: str
    transaction_id: str
    payout_id: str
    money: Money
    fee: Money | None
    succeeded_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "PayoutSucceeded":
        return cls(
            data["fact_key"],
            data["transaction_id"],
            data["payout_id"],
            _money(data),
            _fee(data),
            _instant(data["succeeded_at"]),
        )


@dataclass(frozen=True, slots=True)
class PayoutFailed:
    TYPE: ClassVar[str] = "payments.payout.failed.v1"
    fact_key: str
    transaction_id: str
    payout_id: str | None
    money: Money
    reason_code: str
    failed_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "PayoutFailed":
        return cls(
            data["fact_key"],
            data["transaction_id"],
            data["payout_id"],
            _money(data),
            data["reason_code"],
            _instant(data["failed_at"]),
        )


@dataclass(frozen=True, slots=True)
class PayoutCancelled:
    TYPE: ClassVar[str] = "payments.payout.cancelled.v1"
    transaction_id: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "PayoutCancelled":
        return cls(data["transaction_id"])


@dataclass(frozen=True, slots=True)
class PayoutCancelRefused:
    TYPE: ClassVar[str] = "payments.payout.cancel_refused.v1"
    transaction_id: str
    reason_code: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "PayoutCancelRefused":
        return cls(data["transaction_id"], data["reason_code"])


@dataclass(frozen=True, slots=True)
class BankAccountVerified:
    TYPE: ClassVar[str] = "payments.bank_account.verified.v1"
    bank_account_id: str
    user_id: str
    masked_number: str
    bank_name: str
    verified_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "BankAccountVerified":
        return cls(
            data["bank_account_id"],
            data["user_id"],
            data["masked_number"],
            data["bank_name"],
            _instant(data["verified_at"]),
        )


@dataclass(frozen=True, slots=True)
class BankAccountRemoved:
    TYPE: ClassVar[str] = "payments.bank_account.removed.v1"
    bank_account_id: str
    user_id: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "BankAccountRemoved":
        return cls(data["bank_account_id"], data["user_id"])


def _money(data: Mapping[str, Any]) -> Money:
    return Money.parse(data["amount"], data["currency"])


def _fee(data: Mapping[str, Any]) -> Money | None:
    if data["fee_amount"] is None:
        return None
    return Money.parse(data["fee_amount"], data["currency"])


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
