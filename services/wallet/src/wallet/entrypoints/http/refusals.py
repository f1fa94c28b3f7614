"""Which HTTP status each refusal of the wallet is answered with."""

from collections.abc import Mapping
from typing import Final

from octoco.errors import Refusal
from wallet.domain.errors import (
    AmountNotPositive,
    BankAccountNotVerified,
    BusinessKeyReused,
    CurrencyNotOffered,
    ExceedsPurchase,
    HoldAlreadyReleased,
    HoldAlreadySettled,
    HoldNotFound,
    InsufficientFunds,
    LedgerAccountNotFound,
    LimitExceeded,
    PurchaseNotBooked,
    ReasonMissing,
    TransactionNotCancellable,
    TransactionNotFound,
    TransferNotFound,
    TransferNotReversible,
)

REFUSAL_STATUS: Final[Mapping[type[Refusal], int]] = {
    AmountNotPositive: 422,
    BankAccountNotVerified: 422,
    BusinessKeyReused: 409,
    CurrencyNotOffered: 422,
    ExceedsPurchase: 409,
    HoldAlreadyReleased: 409,
    HoldAlreadySettled: 409,
    HoldNotFound: 404,
    InsufficientFunds: 422,
    LedgerAccountNotFound: 404,
    LimitExceeded: 422,
    PurchaseNotBooked: 404,
    ReasonMissing: 422,
    TransactionNotCancellable: 409,
    TransactionNotFound: 404,
    TransferNotFound: 404,
    TransferNotReversible: 409,
}
