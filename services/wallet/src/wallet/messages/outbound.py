"""What the wallet announces."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from octoco.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class _AboutTransaction:
    transaction_id: str
    user_id: str

    @property
    def aggregate_id(self) -> str:
        return self.transaction_id

    def to_data(self) -> dict[str, object]:
        return {"transaction_id": self.transaction_id, "user_id": self.user_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class _AboutMoney(_AboutTransaction):
    money: Money

    def to_data(self) -> dict[str, object]:
        return {
            "transaction_id": self.transaction_id,
            "user_id": self.user_id,
            "amount": self.money.amount_text,
            "currency": self.money.currency,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositRequested(_AboutMoney):
    TYPE: ClassVar[str] = "wallet.deposit.requested.v1"
    requested_at: datetime

    def to_data(self) -> dict[str, object]:
        return {**_AboutMoney.to_data(self), "requested_at": _text(self.requested_at)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositCancelRequested(_AboutTransaction):
    TYPE: ClassVar[str] = "wallet.deposit.cancel_requested.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositCompleted(_AboutMoney):
    """`available` is the user's balance right after the credit."""

    TYPE: ClassVar[str] = "wallet.deposit.completed.v1"
    available: Money
    completed_at: datetime

    def to_data(self) -> dict[str, object]:
        return {
            **_AboutMoney.to_data(self),
            "available": self.available.amount_text,
            "completed_at": _text(self.completed_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositFailed(_AboutMoney):
    TYPE: ClassVar[str] = "wallet.deposit.failed.v1"
    status: str
    reason_code: str

    def to_data(self) -> dict[str, object]:
        return {
            **_AboutMoney.to_data(self),
            "status": self.status,
            "reason_code": self.reason_code,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalRequested(_AboutMoney):
    TYPE: ClassVar[str] = "wallet.withdrawal.requested.v1"
    bank_account_id: str
    requested_at: datetime

    def to_data(self) -> dict[str, object]:
        return {
            **_AboutMoney.to_data(self),
            "bank_account_id": self.bank_account_id,
            "requested_at": _text(self.requested_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalCancelRequested(_AboutTransaction):
    TYPE: ClassVar[str] = "wallet.withdrawal.cancel_requested.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalCompleted(_AboutMoney):
    TYPE: ClassVar[str] = "wallet.withdrawal.completed.v1"
    bank_account_id: str
    completed_at: datetime

    def to_data(self) -> dict[str, object]:
        return {
            **_AboutMoney.to_data(self),
            "bank_account_id": self.bank_account_id,
            "completed_at": _text(self.completed_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalFailed(_AboutMoney):
    TYPE: ClassVar[str] = "wallet.withdrawal.failed.v1"
    bank_account_id: str
    status: str
    reason_code: str

    def to_data(self) -> dict[str, object]:
        return {
            **_AboutMoney.to_data(self),
            "bank_account_id": self.bank_account_id,
            "status": self.status,
            "reason_code": self.reason_code,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyFactAnswered:
    TYPE: ClassVar[str] = "wallet.money_fact.answered.v1"
    fact_key: str
    outcome: str
    code: str | None
    transaction_id: str | None
    answered_at: datetime

    @property
    def aggregate_id(self) -> str:
        return self.fact_key

    def to_data(self) -> dict[str, object]:
        return {
            "fact_key": self.fact_key,
            "outcome": self.outcome,
            "code": self.code,
            "transaction_id": self.transaction_id,
            "answered_at": _text(self.answered_at),
        }


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
