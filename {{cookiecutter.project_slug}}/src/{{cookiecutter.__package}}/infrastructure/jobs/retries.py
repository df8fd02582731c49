"""When to try again: pure functions."""

from __future__ import annotations

import random
from datetime import timedelta

FACTOR = 2.0
MAX_DELAY = timedelta(hours=1)


def longest_delay(
    attempt: int, delay: timedelta, *, factor: float = FACTOR, max_delay: timedelta = MAX_DELAY
) -> timedelta:
    """Give the upper bound of the pause after the failed try number `attempt` (from 1): it doubles up to a limit."""
    seconds = delay.total_seconds()
    cap = max_delay.total_seconds()
    for _ in range(attempt - 1):
        if seconds >= cap:
            break
        seconds *= factor
    return timedelta(seconds=min(seconds, cap))


def backoff(attempt: int, delay: timedelta, *, factor: float = FACTOR, max_delay: timedelta = MAX_DELAY) -> timedelta:
    """Give the pause after the failed try number `attempt`: exponential backoff with full jitter.

    A random point between nothing and the upper bound spreads jobs that failed together more evenly than any fixed
    pause (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    bound = longest_delay(attempt, delay, factor=factor, max_delay=max_delay)
    return bound * random.random()  # noqa: S311 - spreads load, guards nothing
