"""Pauses between tries."""

from __future__ import annotations

from datetime import timedelta

from {{ cookiecutter.__package }}.infrastructure.jobs.retries import MAX_DELAY, backoff, longest_delay

SECOND = timedelta(seconds=1)


def test_the_upper_bound_doubles_up_to_a_limit() -> None:
    """Tries 1, 2, 3, 4 wait at most 10, 20, 40, 80 seconds; no try waits longer than the limit."""
    delay = 10 * SECOND
    assert [longest_delay(attempt, delay) for attempt in (1, 2, 3, 4)] == [
        10 * SECOND,
        20 * SECOND,
        40 * SECOND,
        80 * SECOND,
    ]
    assert longest_delay(10_000, delay) == MAX_DELAY
    assert longest_delay(1, 2 * MAX_DELAY) == MAX_DELAY


def test_pauses_are_spread_over_the_whole_range() -> None:
    """Full jitter: from nothing to the upper bound, so that jobs that failed together do not come back together."""
    pauses = [backoff(3, SECOND) for _ in range(2000)]
    assert all(timedelta(0) <= pause <= 4 * SECOND for pause in pauses)
    assert min(pauses) < 0.2 * SECOND
    assert max(pauses) > 3.8 * SECOND


def test_no_delay_means_no_pause() -> None:
    """`retry_delay = 0` retries at once."""
    assert backoff(5, timedelta(0)) == timedelta(0)
