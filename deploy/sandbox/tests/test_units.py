"""What can be proved without a server: the retry schedule, totals, fees and display."""

from decimal import Decimal
from itertools import pairwise

import pytest

from revio_sandbox.checkout import read_card
from revio_sandbox.money import display, line_total, percentage
from revio_sandbox.retry_schedule import ATTEMPTS_MAX, attempt_offset_seconds


def test_nine_attempts_grow_exponentially_and_end_at_36_hours() -> None:
    offsets = [attempt_offset_seconds(made, scale=1) for made in range(1, ATTEMPTS_MAX)]
    known = [0.0, *(offset for offset in offsets if offset is not None)]
    assert len(known) == 9
    assert known[-1] == 36 * 3600
    intervals = [later - earlier for earlier, later in pairwise(known)]
    assert intervals[0] == pytest.approx(39.51, abs=0.01)
    for earlier, later in pairwise(intervals):
        assert later == pytest.approx(3 * earlier)
    assert attempt_offset_seconds(ATTEMPTS_MAX, scale=1) is None


def test_the_scale_divides_every_offset() -> None:
    assert attempt_offset_seconds(8, scale=3600) == 36


@pytest.mark.parametrize(
    ("price", "quantity", "discount", "tax", "total"),
    [
        (1, "0.5", 0, "0", 1),
        (3, "0.5", 0, "0", 2),
        (1000, "1", 100, "15", 1035),
        (5, "1", 9, "0", -4),
    ],
)
def test_line_totals_round_half_up(
    price: int, quantity: str, discount: int, tax: str, total: int
) -> None:
    assert (
        line_total(
            price=price,
            quantity=Decimal(quantity),
            discount=discount,
            tax_percent=Decimal(tax),
        )
        == total
    )


def test_the_fee_of_the_documented_example() -> None:
    assert percentage(25_000, Decimal("2.9")) == 725


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (25_000, "ZAR", "R\u00a0250.00"),
        (123_456_789, "ZAR", "R\u00a01\u00a0234\u00a0567.89"),
        (500, "JPY", "500\u00a0JPY"),
        (12_500, "KWD", "12.500\u00a0KWD"),
    ],
)
def test_amounts_read_as_people_write_them(amount: int, currency: str, text: str) -> None:
    assert display(amount, currency) == text


@pytest.mark.parametrize("expires", ["12/39", "1239", "12 / 39", "12/2039"])
def test_expiry_dates_are_read_as_people_type_them(expires: str) -> None:
    card, errors = read_card(
        {
            "card_number": "4444-3333-2222-1111",
            "cardholder_name": "A",
            "expires": expires,
            "cvc": "123",
        }
    )
    assert errors == {}
    assert card is not None
    assert (card.month, card.year) == (12, 2039)
