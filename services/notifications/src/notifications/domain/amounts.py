"""Amounts as people read them."""

from copy import copy
from typing import Final

from babel import Locale
from babel.numbers import format_decimal, get_currency_symbol

from octoco.money import Money, exponent_of

# CLDR writes South African amounts with a decimal comma (R250,00). Banks and shops there write a
# point, and so do we.
_POINT_LOCALES: Final = frozenset({"en_ZA"})


def format_money(money: Money, *, locale: str) -> str:
    """Write an amount with its currency, at the currency's scale: `R250.00`, `R1,250.00`.

    Args:
        money: The amount.
        locale: Babel's name of the reader's locale.
    """
    if locale not in _POINT_LOCALES:
        # CLDR writes some currencies without the decimals that ISO 4217 gives them (1.250 IQD as
        # 1 IQD), which would hide money.
        shape = copy(Locale.parse(locale).currency_formats["standard"])
        shape.frac_prec = (exponent_of(money.currency),) * 2
        return str(
            shape.apply(money.amount, locale, currency=money.currency, currency_digits=False)
        )
    decimals = "0" * exponent_of(money.currency)
    pattern = f"#,##0.{decimals}" if decimals else "#,##0"
    symbol = get_currency_symbol(money.currency, locale=locale)
    return symbol + format_decimal(money.amount, format=pattern, locale="en")
