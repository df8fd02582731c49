"""What people type for times, durations and arguments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer

from {{ cookiecutter.__package }}.console.inputs import duration, moment, named, priority_of, value
from {{ cookiecutter.__package }}.infrastructure.jobs import JobPriority


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("7d", 604_800), ("1w", 604_800), ("250ms", 0.25), ("0", 0)],
)
def test_durations_have_units(text: str, seconds: float) -> None:
    """A number alone is seconds."""
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5m", "5 m", "5y", "1e3", "9" * 400, "inf"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """The message says how to write one."""
    with pytest.raises(typer.BadParameter, match="write it like"):
        duration(text)


def test_moments_are_local_or_in_a_zone_or_so_long_ago() -> None:
    """Whatever is given becomes an aware time."""
    assert moment("2026-11-21T09:30+02:00") == datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
    assert moment("2026-11-21T09:30") == datetime(2026, 11, 21, 9, 30).astimezone()
    assert moment("2026-11-21").hour == 0
    before = datetime.now(UTC)
    assert before - timedelta(hours=2) <= moment("2h") <= datetime.now(UTC) - timedelta(hours=2)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "999999w", "9" * 30 + "d", "0001-01-01T00:00+14:00"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    """The message says how to write one."""
    with pytest.raises(typer.BadParameter, match="write it like"):
        moment(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ('{"a": [1]}', {"a": [1]}),
        ('"5"', "5"),
        ("hello", "hello"),
        ("", ""),
        ("[1,2", "[1,2"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("[" * 100_000, "[" * 100_000),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_values_are_json_or_text(text: str, expected: Any) -> None:
    """What JSON has no word for is the text that it is."""
    assert value(text) == expected
    assert type(value(text)) is type(expected)


def test_named_arguments() -> None:
    """The first `=` parts name and value; the last of a name wins."""
    assert named(["a=1", "b=x=y", "c=", "a=2"]) == {"a": 2, "b": "x=y", "c": ""}


@pytest.mark.parametrize("pair", ["a", "=1", "a b=1", "1a=1", ""])
def test_what_is_no_named_argument_is_refused(pair: str) -> None:
    """The message names it."""
    with pytest.raises(typer.BadParameter, match="name=value"):
        named([pair])


def test_priorities_have_names() -> None:
    """In either case; others are refused with those that there are."""
    assert [priority_of("low"), priority_of("HIGH"), priority_of(None)] == [JobPriority.LOW, JobPriority.HIGH, None]
    with pytest.raises(typer.BadParameter, match="low, normal, high, critical"):
        priority_of("urgent")
