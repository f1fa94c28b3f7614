"""What the payments gateway listens to, read from bodies that their schemas have let through."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from octoco.money import Money


@dataclass(frozen=True, slots=True)
class UserRegistered:
    """A person registered."""

    TYPE: ClassVar[str] = "accounts.user.registered.v1"

    user_id: str
    email: str
    full_name: str
    registered_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "UserRegistered":
        return cls(
            user_id=data["user_id"],
            email=data["email"],
            full_name=data["full_name"],
            registered_at=datetime.fromisoformat(data["registered_at"]),
        )


@dataclass(frozen=True, slots=True)
class EmailVerified:
    """A person proved that the e-mail is theirs."""

    TYPE: ClassVar[str] = "accounts.user.email_verified.v1"

    user_id: str
    email: str
    verified_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "EmailVerified":
        return cls(
            user_id=data["user_id"],
            email=data["email"],
            verified_at=datetime.fromisoformat(data["verified_at"]),
        )


@dataclass(frozen=True, slots=True)
class DepositRequested:
    """A user wants to pay in."""

    TYPE: ClassVar[str] = "wallet.deposit.requested.v1"

    transaction_id: str
    user_id: str
    money: Money

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "DepositRequested":
        return cls(
            transaction_id=data["transaction_id"],
            user_id=data["user_id"],
            money=Money.parse(data["amount"], data["currency"]),
        )


@dataclass(frozen=True, slots=True)
class DepositCancelRequested:
    """A user gave up a deposit."""

    TYPE: ClassVar[str] = "wallet.deposit.cancel_requested.v1"

    transaction_id: str
    user_id: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "DepositCancelRequested":
        return cls(transaction_id=data["transaction_id"], user_id=data["user_id"])


@dataclass(frozen=True, slots=True)
class WithdrawalRequested:
    """A withdrawal is held and is to be paid out."""

    TYPE: ClassVar[str] = "wallet.withdrawal.requested.v1"

    transaction_id: str
    user_id: str
    bank_account_id: str
    money: Money

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "WithdrawalRequested":
        return cls(
            transaction_id=data["transaction_id"],
            user_id=data["user_id"],
            bank_account_id=data["bank_account_id"],
            money=Money.parse(data["amount"], data["currency"]),
        )


@dataclass(frozen=True, slots=True)
class WithdrawalCancelRequested:
    """A user wants a withdrawal stopped."""

    TYPE: ClassVar[str] = "wallet.withdrawal.cancel_requested.v1"

    transaction_id: str
    user_id: str

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "WithdrawalCancelRequested":
        return cls(transaction_id=data["transaction_id"], user_id=data["user_id"])


@dataclass(frozen=True, slots=True)
class MoneyFactAnswered:
    """What the wallet did with a money fact of ours."""

    TYPE: ClassVar[str] = "wallet.money_fact.answered.v1"

    fact_key: str
    outcome: str
    code: str | None
    answered_at: datetime

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "MoneyFactAnswered":
        return cls(
            fact_key=data["fact_key"],
            outcome=data["outcome"],
            code=data["code"],
            answered_at=datetime.fromisoformat(data["answered_at"]),
        )
