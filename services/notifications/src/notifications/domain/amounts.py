"""Amounts as people read them."""

from typing import Final

from babel.numbers import format_currency, format_decimal, get_currency_symbol

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
        return format_currency(money.amount, money.currency, locale=locale)
    decimals = "0" * exponent_of(money.currency)
    pattern = f"#,##0.{decimals}" if decimals else "#,##0"
    symbol = get_currency_symbol(money.currency, locale=locale)
    return symbol + format_decimal(money.amount, format=pattern, locale="en")
