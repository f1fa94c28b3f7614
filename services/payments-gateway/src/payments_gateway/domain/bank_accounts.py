"""South African bank accounts: what one looks like, and how little of it is ever shown."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from payments_gateway.domain.errors import InvalidBankAccount
from payments_gateway.domain.sensitive import SensitiveText

ACCOUNT_NUMBER_DIGITS_MIN = 7
ACCOUNT_NUMBER_DIGITS_MAX = 11
BRANCH_CODE_DIGITS = 6
DIGITS_SHOWN = 4
NAME_LENGTH_MIN = 2
NAME_LENGTH_MAX = 128

_SEPARATORS = re.compile(r"[ \-]")
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")


class AccountType(StrEnum):
    CHEQUE = "cheque"
    SAVINGS = "savings"
    TRANSMISSION = "transmission"


@dataclass(frozen=True, slots=True)
class BankAccountDetails:
    """What the user typed, checked and normalised. It never changes; a change is a new account.

    Args:
        account_number: Digits only.
        branch_code: Six digits.
    """

    account_holder: str
    bank_name: str
    branch_code: str
    account_number: SensitiveText
    account_type: AccountType

    @property
    def masked_number(self) -> str:
        """The last four digits behind stars: all that ever leaves the gateway."""
        return "*" * 4 + self.account_number.reveal()[-DIGITS_SHOWN:]


@dataclass(frozen=True, slots=True)
class BankAccount:
    """A bank account that a user may be paid out to.

    Args:
        verified_at: When it was found to be usable, UTC; None until then.
        removed_at: When the user removed it, UTC; kept for the withdrawals that used it.
    """

    bank_account_id: str
    user_id: str
    details: BankAccountDetails
    created_at: datetime
    verified_at: datetime | None = None
    removed_at: datetime | None = None


def bank_account_details(
    *, account_holder: str, bank_name: str, branch_code: str, account_number: str, account_type: str
) -> BankAccountDetails:
    """Check and normalise what the user typed.

    Spaces and hyphens between digits are dropped. No message repeats what was typed.

    Raises:
        InvalidBankAccount: the first field that does not fit, in the order of the arguments.
    """
    return BankAccountDetails(
        account_holder=_name(account_holder, field="account_holder"),
        bank_name=_name(bank_name, field="bank_name"),
        branch_code=_branch_code(branch_code),
        account_number=SensitiveText(_account_number(account_number)),
        account_type=_account_type(account_type),
    )


def _name(text: str, *, field: str) -> str:
    name = " ".join(_CONTROL_CHARACTERS.sub(" ", text).split())
    if not NAME_LENGTH_MIN <= len(name) <= NAME_LENGTH_MAX:
        raise InvalidBankAccount(
            f"This must be a name of {NAME_LENGTH_MIN} to {NAME_LENGTH_MAX} characters.",
            field=field,
        )
    return name


def _digits(text: str) -> str | None:
    digits = _SEPARATORS.sub("", text)
    return digits if digits.isascii() and digits.isdigit() else None


def _branch_code(text: str) -> str:
    digits = _digits(text)
    if digits is None or len(digits) != BRANCH_CODE_DIGITS or digits == "000000":
        raise InvalidBankAccount("A branch code has six digits.", field="branch_code")
    return digits


def _account_number(text: str) -> str:
    digits = _digits(text)
    fits = (
        digits is not None and ACCOUNT_NUMBER_DIGITS_MIN <= len(digits) <= ACCOUNT_NUMBER_DIGITS_MAX
    )
    if digits is None or not fits or not digits.strip("0"):
        raise InvalidBankAccount(
            f"An account number has {ACCOUNT_NUMBER_DIGITS_MIN} to "
            f"{ACCOUNT_NUMBER_DIGITS_MAX} digits.",
            field="account_number",
        )
    return digits


def _account_type(text: str) -> AccountType:
    try:
        return AccountType(text)
    except ValueError:
        raise InvalidBankAccount(
            "An account is of type cheque, savings or transmission.", field="account_type"
        ) from None
