"""Amounts of money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from {{ cookiecutter.__package }}.billing.money import (
    MAX_MINOR,
    InvalidMoneyError,
    Money,
    decimal_text,
    format_minor,
)


@pytest.mark.parametrize(
    ("text", "currency", "minor", "shown"),
    [
        ("12.50", "EUR", 1250, "12.50 EUR"),
        ("12.5", "EUR", 1250, "12.50 EUR"),
        ("0.01", "USD", 1, "0.01 USD"),
        ("1200", "JPY", 1200, "1200 JPY"),
        ("0.005", "KWD", 5, "0.005 KWD"),
        ("10000000000.00", "CHF", MAX_MINOR, "10000000000.00 CHF"),
        ("100", "EUR", 10_000, "100.00 EUR"),
    ],
)
def test_amounts_are_kept_exactly(text: str, currency: str, minor: int, shown: str) -> None:
    """An amount is so many minor units, and the same again when it is made of them."""
    money = Money.parse(text, currency)
    assert (money.minor, str(money)) == (minor, shown)
    again = Money.of_minor(minor, currency)
    assert (again, str(again), again.text) == (money, shown, shown.split(" ", 1)[0])


def test_tenths_add_up() -> None:
    """Ten times a tenth is one, which it is not with floats."""
    assert sum(Money.parse("0.10", "EUR").minor for _ in range(10)) == Money.parse("1.00", "EUR").minor


@pytest.mark.parametrize(
    ("amount", "currency", "problem"),
    [
        (12.5, "EUR", "12.5: is a float"),
        (12, "EUR", "12: is a int"),
        (True, "EUR", "True: is a bool"),
        ("12.50", "EUR", "'12.50': is a str"),
        (None, "EUR", "None: is a NoneType"),
        (Decimal(0), "EUR", "0: give more than 0"),
        (Decimal("-0.01"), "EUR", "-0.01: give more than 0"),
        (Decimal("NaN"), "EUR", "NaN: is no number"),
        (Decimal("sNaN"), "EUR", "sNaN: is no number"),
        (Decimal("Infinity"), "EUR", "Infinity: is no number"),
        (Decimal("-Infinity"), "EUR", "-Infinity: is no number"),
        (Decimal("1.005"), "EUR", "1.005: EUR has 2 decimals"),
        (Decimal("1.500"), "EUR", "1.500: EUR has 2 decimals"),
        (Decimal("1.5"), "JPY", "1.5: JPY has 0 decimals"),
        (Decimal("1.0001"), "KWD", "1.0001: KWD has 3 decimals"),
        (Decimal("10000000000.01"), "EUR", "10000000000.01: give at most 10000000000.00 EUR"),
        (Decimal("1E+999999"), "EUR", "1E\\+999999: give at most"),
        (Decimal(1), "eur", "'eur': is no currency that is taken; give one of CHF, EUR"),
        (Decimal(1), "SEK", "'SEK': is no currency"),
        (Decimal(1), "", "'': is no currency"),
    ],
)
def test_what_cannot_be_paid_is_refused(amount: Any, currency: str, problem: str) -> None:
    """The error names the value and what is wrong with it."""
    with pytest.raises(InvalidMoneyError, match=problem):
        Money(amount, currency)


@pytest.mark.parametrize(
    "text",
    ["", "1e3", "1_000", "1,50", " 1", "1\n", "+1", "-1", ".5", "5.", "1.2.3", "NaN", "\u0661", "0x1", 1.5, 1, None],
)
def test_only_plain_numbers_are_read(text: Any) -> None:
    """There is one way to write an amount."""
    with pytest.raises(InvalidMoneyError, match="write it as in"):
        Money.parse(text, "EUR")


def test_sums_may_be_larger_than_any_payment() -> None:
    """What many payments add up to can still be written, also nothing at all."""
    assert format_minor(MAX_MINOR * 1000 + 1, "EUR") == "10000000000000.01 EUR"
    assert decimal_text(0, "EUR") == "0.00"
