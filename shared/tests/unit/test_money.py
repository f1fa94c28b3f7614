"""Money keeps its currency's scale and refuses everything that is no amount."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoco.money import CurrencyMismatch, InvalidAmount, Money, UnknownCurrency

minor_sums = st.integers(min_value=-(10**20), max_value=10**20)
minor_amounts = st.integers(min_value=-(10**11), max_value=10**11)


@pytest.mark.parametrize(
    "text",
    ["10.001", "1e5", "NaN", "Infinity", "", " 1", "1 ", "+1", "1,000.00", "0x10", "٣", ".5", "5."],
)
def test_text_that_is_no_rand_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount) as refused:
        Money.parse(text, "ZAR")
    assert refused.value.field == "amount"


def test_more_than_twelve_integer_digits_are_refused() -> None:
    assert Money.parse("999999999999.99", "ZAR").amount_text == "999999999999.99"
    with pytest.raises(InvalidAmount):
        Money.parse("1000000000000", "ZAR")
    with pytest.raises(InvalidAmount):
        Money.parse("9" * 5000, "ZAR")


def test_one_amount_is_bounded_and_what_many_add_up_to_is_not() -> None:
    largest = Money.parse("999999999999.99", "ZAR")
    many = sum([largest] * 1000, start=Money.zero("ZAR"))
    assert many.amount_text == "999999999999990.00"
    assert Money.parse_sum(many.amount_text, "ZAR") == many
    assert Money.sum_from_minor(many.to_minor(), "ZAR") == many
    with pytest.raises(InvalidAmount):
        Money.parse(many.amount_text, "ZAR")
    with pytest.raises(InvalidAmount):
        Money.from_minor(many.to_minor(), "ZAR")


@pytest.mark.parametrize("currency", ["ZAR", "JPY", "KWD", "CLF"])
def test_a_sum_is_exact_to_its_last_digit_and_refused_beyond(currency: str) -> None:
    smallest = Money.sum_from_minor(1, currency)
    largest = Money.parse_sum("9" * 20, currency)
    assert (largest - smallest + smallest).to_minor() == largest.to_minor()
    with pytest.raises(InvalidAmount):
        largest + smallest + Money.parse("1", currency)
    with pytest.raises(InvalidAmount):
        Money.sum_from_minor(10**60, currency)


def test_a_currency_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UnknownCurrency):
        Money.parse("1.00", "XXZ")


@pytest.mark.parametrize(
    ("currency", "text", "minor"),
    [("ZAR", "250.00", 25_000), ("JPY", "250", 250), ("KWD", "0.001", 1)],
)
def test_minor_units_follow_the_currency(currency: str, text: str, minor: int) -> None:
    money = Money.parse(text, currency)
    assert money.to_minor() == minor
    assert Money.from_minor(minor, currency) == money
    assert money.amount_text == text


def test_equal_amounts_are_equal_however_they_were_written() -> None:
    assert Money.parse("250", "ZAR") == Money.parse("250.00", "ZAR")
    assert hash(Money.parse("250", "ZAR")) == hash(Money(Decimal("250.000"), "ZAR"))
    assert Money.parse("-0", "ZAR").amount_text == "0.00"


def test_currencies_never_mix() -> None:
    with pytest.raises(CurrencyMismatch):
        Money.parse("1.00", "ZAR") + Money.parse("1.00", "USD")
    with pytest.raises(CurrencyMismatch):
        assert Money.parse("1.00", "ZAR") < Money.parse("2.00", "USD")


@given(minor_sums, minor_sums)
def test_adding_is_exact_and_can_be_undone(first: int, second: int) -> None:
    one, other = Money.sum_from_minor(first, "ZAR"), Money.sum_from_minor(second, "ZAR")
    assert (one + other).to_minor() == first + second
    assert one + other - other == one


@given(minor_amounts, st.sampled_from(["ZAR", "JPY", "KWD"]))
def test_text_and_back_is_the_same_money(minor: int, currency: str) -> None:
    money = Money.from_minor(minor, currency)
    assert Money.parse(money.amount_text, currency) == money
