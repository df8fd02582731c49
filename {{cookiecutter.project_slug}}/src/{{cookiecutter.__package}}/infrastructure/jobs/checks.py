"""Checks of what a task sets for itself: each gives the value in its one form, or says what to give instead."""

from __future__ import annotations

import math
from datetime import timedelta

from . import keys
from .errors import InvalidJobError, InvalidPolicyError
from .records import JobPriority

#: The longest timedelta, in seconds.
LONGEST = timedelta.max.total_seconds()


def seconds(setting: str, value: object, *, zero: bool = False) -> float:
    """Give a time as seconds.

    Args:
        setting: what the error calls it.
        value: seconds or a timedelta.
        zero: whether it may be none at all.

    Raises:
        InvalidPolicyError: it is no time, or too short.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if (
        isinstance(number, bool)
        or not isinstance(number, (int, float))
        or not (0 < number < LONGEST or (zero and number == 0))
    ):
        least = "0 or more" if zero else "more than 0"
        raise InvalidPolicyError(setting, value, f"give seconds or a timedelta, {least}")
    return float(number)


def duration(setting: str, value: object, *, zero: bool = False) -> timedelta:
    """Give a time as a timedelta; see `seconds`."""
    return timedelta(seconds=seconds(setting, value, zero=zero))


def count(setting: str, value: object) -> int:
    """Give a number of things, of which there is at least one.

    Raises:
        InvalidPolicyError: it is no whole number, or less than 1.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidPolicyError(setting, value, "give a whole number, 1 or more")
    return value


def factor(setting: str, value: object) -> float:
    """Give what something grows by.

    Raises:
        InvalidPolicyError: it is no finite number, or less than 1.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1 <= value < math.inf:
        raise InvalidPolicyError(setting, value, "give a number, 1 or more")
    return float(value)


def flag(setting: str, value: object) -> bool:
    """Give a yes or no.

    Raises:
        InvalidPolicyError: it is neither.
    """
    if not isinstance(value, bool):
        raise InvalidPolicyError(setting, value, "give True or False")
    return value


def text(setting: str, value: object) -> str:
    """Give a name.

    Raises:
        InvalidPolicyError: it is no text, or empty.
    """
    if not isinstance(value, str) or not value:
        raise InvalidPolicyError(setting, value, "give a text that is not empty")
    return value


def queue(setting: str, value: object) -> str:
    """Give the name of a queue.

    Raises:
        InvalidPolicyError: it cannot be one.
    """
    try:
        keys.queue(text(setting, value))
    except InvalidJobError as error:
        raise InvalidPolicyError(setting, value, str(error)) from None
    return str(value)


def priority(setting: str, value: object) -> JobPriority:
    """Give how urgent a job is; its number says the same.

    Raises:
        InvalidPolicyError: there is no such priority.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value not in set(JobPriority):
        choice = ", ".join(f"{each.name} ({each.value})" for each in JobPriority)
        raise InvalidPolicyError(setting, value, f"give a JobPriority: {choice}")
    return JobPriority(value)


def exceptions(setting: str, value: object) -> tuple[type[Exception], ...]:
    """Give kinds of exceptions; a single one is one of them.

    Raises:
        InvalidPolicyError: something else is among them, such as `CancelledError`: what was cancelled stays so.
    """
    kinds = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        raise InvalidPolicyError(setting, value, "give a subclass of Exception, or a tuple of such")
    return kinds
