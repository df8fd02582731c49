"""Amounts of money: decimal, with a currency, and never a float."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

#: The currencies that are taken (ISO 4217), and how many decimals each has.
CURRENCIES = {"CHF": 2, "EUR": 2, "GBP": 2, "JPY": 0, "KWD": 3, "USD": 2}

#: The largest amount, in minor units: the sum of millions of them fits a BIGINT.
MAX_MINOR = 10**12


class InvalidMoneyError(ValueError):
    """This is no amount that could be paid."""

    def __init__(self, value: object, problem: str) -> None:
        super().__init__(f"{value!s}: {problem}")


@dataclass(frozen=True, slots=True)
class Money:
    """An amount that is paid: more than nothing, and with no more decimals than its currency has.

    Raises:
        InvalidMoneyError: it is no such amount; the message names the value.
    """

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        """Check both."""
        given: object = self.amount
        # A float has been rounded before anybody could look at it: 0.1 is not a tenth.
        if not isinstance(given, Decimal):
            raise InvalidMoneyError(repr(given), f"is a {type(given).__name__}; give a Decimal, made of text")
        decimals = decimals_of(self.currency)
        if not self.amount.is_finite():
            raise InvalidMoneyError(self.amount, "is no number")
        if self.amount <= 0:
            raise InvalidMoneyError(self.amount, "give more than 0")
        if self.amount > Decimal(MAX_MINOR).scaleb(-decimals):
            raise InvalidMoneyError(self.amount, f"give at most {format_minor(MAX_MINOR, self.currency)}")
        if -int(self.amount.as_tuple().exponent) > decimals:
            raise InvalidMoneyError(self.amount, f"{self.currency} has {decimals} decimals")

    @classmethod
    def parse(cls, text: str, currency: str) -> Self:
        """Read an amount such as `12.50`.

        Raises:
            InvalidMoneyError: it cannot be read, or is no amount that could be paid.
        """
        # Decimal itself would also read "1e3", "1_000" and the digits of other scripts.
        if not isinstance(text, str) or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
            raise InvalidMoneyError(repr(text), 'write it as in "12.50"')
        return cls(Decimal(text), currency)

    @classmethod
    def of_minor(cls, minor: int, currency: str) -> Self:
        """Make an amount of minor units, such as cents."""
        return cls(Decimal(minor).scaleb(-decimals_of(currency)), currency)

    @property
    def minor(self) -> int:
        """The amount in minor units, such as cents: how it is stored, so that every database adds it up exactly."""
        return int(self.amount.scaleb(decimals_of(self.currency)))

    @property
    def text(self) -> str:
        """The amount as JSON has it, with all decimals of its currency: `12.50`."""
        return decimal_text(self.minor, self.currency)

    def __str__(self) -> str:
        """Show it with all decimals of its currency: `12.50 EUR`."""
        return format_minor(self.minor, self.currency)


def decimals_of(currency: str) -> int:
    """Give the number of decimals of a currency.

    Raises:
        InvalidMoneyError: it is not among those that are taken.
    """
    if currency not in CURRENCIES:
        raise InvalidMoneyError(repr(currency), f"is no currency that is taken; give one of {', '.join(CURRENCIES)}")
    return CURRENCIES[currency]


def decimal_text(minor: int, currency: str) -> str:
    """Write minor units as JSON has them: `12.50`; sums, which may be larger than any payment, too."""
    return f"{Decimal(minor).scaleb(-decimals_of(currency)):f}"


def format_minor(minor: int, currency: str) -> str:
    """Write minor units as people read them: `12.50 EUR`."""
    return f"{decimal_text(minor, currency)} {currency}"
