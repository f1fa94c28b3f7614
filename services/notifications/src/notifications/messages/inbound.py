"""What notifications listens to, one class for each message version, with the fields it uses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from octoco.money import Money


@dataclass(frozen=True, slots=True)
class UserRegistered:
    TYPE: ClassVar[str] = "accounts.user.registered.v1"

    user_id: str
    email: str
    full_name: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "UserRegistered":
        return cls(data["user_id"], data["email"], data["full_name"])


@dataclass(frozen=True, slots=True)
class EmailVerificationRequested:
    """A proof of address is to be mailed; the token is encrypted.

    Args:
        expires_at: UTC.
    """

    TYPE: ClassVar[str] = "accounts.user.email_verification_requested.v1"

    user_id: str
    email: str
    token_encrypted: str
    expires_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "EmailVerificationRequested":
        expires_at = datetime.fromisoformat(data["expires_at"])
        return cls(data["user_id"], data["email"], data["token_encrypted"], expires_at)


@dataclass(frozen=True, slots=True)
class EmailVerified:
    TYPE: ClassVar[str] = "accounts.user.email_verified.v1"

    user_id: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "EmailVerified":
        return cls(data["user_id"])


@dataclass(frozen=True, slots=True)
class DepositCompleted:
    """Money came in.

    Args:
        money: What came in.
        available: What the user may spend now.
    """

    TYPE: ClassVar[str] = "wallet.deposit.completed.v1"

    transaction_id: str
    user_id: str
    money: Money
    available: Money

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "DepositCompleted":
        available = Money.parse_sum(data["available"], data["currency"])
        return cls(data["transaction_id"], data["user_id"], _money(data), available)


@dataclass(frozen=True, slots=True)
class DepositFailed:
    """Money did not come in.

    Args:
        status: `failed`, `expired` or `cancelled`; a newer one is told as a failure.
    """

    TYPE: ClassVar[str] = "wallet.deposit.failed.v1"

    transaction_id: str
    user_id: str
    money: Money
    status: str
    reason_code: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "DepositFailed":
        return cls(
            data["transaction_id"],
            data["user_id"],
            _money(data),
            data["status"],
            data["reason_code"],
        )


@dataclass(frozen=True, slots=True)
class WithdrawalCompleted:
    TYPE: ClassVar[str] = "wallet.withdrawal.completed.v1"

    transaction_id: str
    user_id: str
    money: Money

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "WithdrawalCompleted":
        return cls(data["transaction_id"], data["user_id"], _money(data))


@dataclass(frozen=True, slots=True)
class WithdrawalFailed:
    """Money did not go out, and is back in the wallet.

    Args:
        status: `failed` or `cancelled`; a newer one is told as a failure.
    """

    TYPE: ClassVar[str] = "wallet.withdrawal.failed.v1"

    transaction_id: str
    user_id: str
    money: Money
    status: str
    reason_code: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "WithdrawalFailed":
        return cls(
            data["transaction_id"],
            data["user_id"],
            _money(data),
            data["status"],
            data["reason_code"],
        )


@dataclass(frozen=True, slots=True)
class BankAccountVerified:
    TYPE: ClassVar[str] = "payments.bank_account.verified.v1"

    user_id: str
    bank_name: str
    masked_number: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "BankAccountVerified":
        return cls(data["user_id"], data["bank_name"], data["masked_number"])


def _money(data: Mapping[str, Any]) -> Money:
    return Money.parse(data["amount"], data["currency"])
