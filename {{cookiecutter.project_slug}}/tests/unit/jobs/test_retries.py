"""When to try again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs.errors import InvalidPolicyError, JobError
from {{ cookiecutter.__package }}.infrastructure.jobs.retries import RetryConfig

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def test_the_upper_bound_doubles_up_to_a_limit() -> None:
    """Tries 1, 2, 3, 4 wait at most 10, 20, 40, 80 seconds; no try waits longer than the limit."""
    config = RetryConfig(jitter=False)
    assert [config.pause(attempt) for attempt in (1, 2, 3, 4)] == [
        10 * SECOND,
        20 * SECOND,
        40 * SECOND,
        80 * SECOND,
    ]
    assert config.pause(10_000) == HOUR
    assert RetryConfig(delay=2 * HOUR, jitter=False).pause(1) == HOUR


def test_factor_and_limit_can_be_chosen() -> None:
    """A factor of 1 keeps the pause as it is; `max_delay` caps it."""
    steady = RetryConfig(delay=5, factor=1, jitter=False)
    assert [steady.pause(1), steady.pause(1_000)] == [5 * SECOND, 5 * SECOND]
    tripling = RetryConfig(delay=1, factor=3, max_delay=8, jitter=False)
    assert [tripling.pause(attempt) for attempt in (1, 2, 3)] == [SECOND, 3 * SECOND, 8 * SECOND]


def test_pauses_are_spread_over_the_whole_range() -> None:
    """Full jitter: from nothing to the upper bound, so that jobs that failed together do not come back together."""
    config = RetryConfig(delay=SECOND)
    pauses = [config.pause(3) for _ in range(2000)]
    assert all(timedelta(0) <= pause <= 4 * SECOND for pause in pauses)
    assert min(pauses) < 0.2 * SECOND
    assert max(pauses) > 3.8 * SECOND


@pytest.mark.parametrize("attempt", [1, 5, 10_000])
def test_no_delay_means_no_pause(attempt: int) -> None:
    """`delay=0` retries at once, however often."""
    assert RetryConfig(delay=0).pause(attempt) == timedelta(0)


def test_times_are_seconds_or_timedeltas() -> None:
    """Both forms of a time, and both forms of one exception, are the same configuration."""
    assert RetryConfig(delay=10, max_delay=3600.0) == RetryConfig(delay=10 * SECOND, max_delay=HOUR)
    assert RetryConfig(retry_on=OSError) == RetryConfig(retry_on=(OSError,), give_up_on=())


@pytest.mark.parametrize(
    ("config", "error", "again"),
    [
        (RetryConfig(), ValueError(), True),
        (RetryConfig(), TimeoutError(), True),
        (RetryConfig(), asyncio.CancelledError(), False),
        (RetryConfig(), SystemExit(), False),
        (RetryConfig(retry_on=OSError), ConnectionError(), True),
        (RetryConfig(retry_on=(OSError, KeyError)), ValueError(), False),
        (RetryConfig(give_up_on=ValueError), UnicodeError(), False),
        (RetryConfig(give_up_on=ValueError), TypeError(), True),
        (RetryConfig(retry_on=OSError, give_up_on=(TimeoutError,)), TimeoutError(), False),
    ],
)
def test_the_exception_decides_whether_another_try_may_help(
    config: RetryConfig, error: BaseException, *, again: bool
) -> None:
    """`give_up_on` wins over `retry_on`; a missed deadline is a `TimeoutError`; what was cancelled stays so."""
    assert config.retries(error) is again


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_tries", 0),
        ("max_tries", 2.5),
        ("max_tries", True),
        ("delay", -1),
        ("delay", "10"),
        ("delay", float("nan")),
        ("delay", float("inf")),
        ("max_delay", timedelta(seconds=-1)),
        ("max_delay", True),
        ("factor", 0.5),
        ("factor", float("inf")),
        ("factor", "2"),
        ("factor", True),
        ("jitter", 0.5),
        ("retry_on", ValueError("an instance")),
        ("retry_on", [ValueError]),
        ("give_up_on", (ValueError, asyncio.CancelledError)),
        ("give_up_on", int),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(setting: str, value: Any) -> None:
    """The error names the setting and the value, and says what to give."""
    with pytest.raises(InvalidPolicyError, match=rf"^RetryConfig\.{setting}=.*: give ") as caught:
        RetryConfig(**{setting: value})
    assert repr(value) in str(caught.value)
    assert isinstance(caught.value, JobError)
    assert isinstance(caught.value, ValueError)
