"""Amounts of money that always know their currency and are never finer than it allows."""

import re
from dataclasses import dataclass
from decimal import Decimal

import moneyed

from octoco.errors import Refusal

# What may come in from outside, one amount at a time.
INTEGER_DIGITS_MAX = 12
# What any money may be, sums of amounts among it. With four decimals these are 24 digits, which
# Python's 28 digits of precision still add and subtract exactly.
SUM_INTEGER_DIGITS_MAX = 20
_PLAIN_DECIMAL = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


class InvalidAmount(Refusal):
    """The text is no amount that the currency can hold."""

    code = "invalid_amount"


class UnknownCurrency(Refusal):
    """No currency of ISO 4217 has this code."""

    code = "unknown_currency"


class CurrencyMismatch(Refusal):
    """Two amounts of different currencies were to be added or compared."""

    code = "currency_mismatch"


def exponent_of(currency: str) -> int:
    """Return how many decimals the currency's smallest unit has: 2 for ZAR, 0 for JPY.

    Args:
        currency: ISO 4217 code in capitals.

    Raises:
        UnknownCurrency: ISO 4217 has no such code.
    """
    try:
        sub_unit = moneyed.get_currency(currency).sub_unit
    except moneyed.CurrencyDoesNotExist as error:
        raise UnknownCurrency(f"{currency!r} is no ISO 4217 currency.", field="currency") from error
    return len(str(sub_unit)) - 1


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount in one currency, at that currency's scale.

    Args:
        amount: The value in major units (rands, not cents). Any sign.
        currency: ISO 4217 code in capitals.

    Raises:
        UnknownCurrency: ISO 4217 has no such code.
        InvalidAmount: not a finite number, finer than the currency's smallest unit, or of more
            than twenty integer digits. What comes in from outside is held to twelve by `parse`
            and `from_minor`; the sums that come of it are not.
    """

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        exponent = exponent_of(self.currency)
        if not self.amount.is_finite():
            raise InvalidAmount("The amount must be a finite number.", field="amount")
        _require_digits(self.amount, SUM_INTEGER_DIGITS_MAX)
        scaled = self.amount.quantize(Decimal(1).scaleb(-exponent))
        if scaled != self.amount:
            raise InvalidAmount(
                f"The amount is finer than the smallest unit of {self.currency}, "
                f"which has {exponent} decimals.",
                field="amount",
            )
        # One value has one form: equality, hashing and text never depend on how it was written.
        object.__setattr__(self, "amount", scaled + 0)

    @classmethod
    def parse(cls, text: str, currency: str) -> "Money":
        """Read an amount as it stands in JSON: a string in plain decimal notation.

        Args:
            text: Such as `"250.00"` or `"250"`; no exponent, sign of plus, spaces or separators.
            currency: ISO 4217 code in capitals.

        Raises:
            UnknownCurrency: ISO 4217 has no such code.
            InvalidAmount: not a string, not plain decimal, too fine, or of more than twelve
                integer digits.
        """
        money = cls.parse_sum(text, currency)
        _require_digits(money.amount, INTEGER_DIGITS_MAX)
        return money

    @classmethod
    def parse_sum(cls, text: str, currency: str) -> "Money":
        """Read a sum of amounts, such as a balance, as it stands in JSON; see `parse`.

        Raises:
            UnknownCurrency: ISO 4217 has no such code.
            InvalidAmount: not a string, not plain decimal, too fine, or of more than twenty
                integer digits.
        """
        exponent_of(currency)
        if not _PLAIN_DECIMAL.fullmatch(text):
            raise InvalidAmount(
                'The amount must be a string in plain decimal notation, such as "250.00".',
                field="amount",
            )
        return cls(Decimal(text), currency)

    @classmethod
    def zero(cls, currency: str) -> "Money":
        return cls(Decimal(0), currency)

    @classmethod
    def from_minor(cls, amount_minor: int, currency: str) -> "Money":
        """Make money of an integer count of the currency's smallest unit (a provider's wire).

        Raises:
            UnknownCurrency: ISO 4217 has no such code.
            InvalidAmount: more than twelve integer digits.
        """
        money = cls.sum_from_minor(amount_minor, currency)
        _require_digits(money.amount, INTEGER_DIGITS_MAX)
        return money

    @classmethod
    def sum_from_minor(cls, amount_minor: int, currency: str) -> "Money":
        """Make a sum of amounts, such as a balance, of a count of smallest units.

        Raises:
            UnknownCurrency: ISO 4217 has no such code.
            InvalidAmount: more than twenty integer digits.
        """
        exponent = exponent_of(currency)
        amount = Decimal(amount_minor)
        _require_digits(amount, SUM_INTEGER_DIGITS_MAX + exponent)
        return cls(amount.scaleb(-exponent), currency)

    def to_minor(self) -> int:
        """Return the integer count of the currency's smallest unit (a provider's wire)."""
        return int(self.amount.scaleb(exponent_of(self.currency)))

    @property
    def is_zero(self) -> bool:
        return self.amount == 0

    @property
    def is_positive(self) -> bool:
        return self.amount > 0

    @property
    def amount_text(self) -> str:
        """The amount alone, at the currency's scale: `"250.00"`."""
        return format(self.amount, "f")

    def __add__(self, other: "Money") -> "Money":
        return Money(self.amount + self._same_currency(other).amount, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.amount - self._same_currency(other).amount, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.amount < self._same_currency(other).amount

    def __le__(self, other: "Money") -> bool:
        return self.amount <= self._same_currency(other).amount

    def __gt__(self, other: "Money") -> bool:
        return self.amount > self._same_currency(other).amount

    def __ge__(self, other: "Money") -> bool:
        return self.amount >= self._same_currency(other).amount

    def __str__(self) -> str:
        return f"{self.currency} {self.amount_text}"

    def _same_currency(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} do not mix.")
        return other


def _require_digits(amount: Decimal, digits_max: int) -> None:
    if amount and amount.adjusted() >= digits_max:
        raise InvalidAmount(
            f"The amount must have at most {digits_max} digits before the point.", field="amount"
        )
