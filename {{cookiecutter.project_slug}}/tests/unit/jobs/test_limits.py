"""What of a limit needs no Redis."""

from __future__ import annotations

from datetime import timedelta

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs.limits import Limit
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import RateLimit, TaskPolicy


@pytest.mark.parametrize(
    ("rate", "limit"),
    [
        (RateLimit(10, per=1), Limit(jobs=10, per=1_000_000)),
        (RateLimit(1, per=timedelta(days=1)), Limit(jobs=1, per=86_400_000_000)),
        (RateLimit(7, per=0.000_029), Limit(jobs=7, per=29)),
    ],
)
def test_a_rate_is_so_many_jobs_per_microseconds(rate: RateLimit, limit: Limit) -> None:
    """The time is in whole microseconds, those of Redis's clock."""
    assert Limit.of(TaskPolicy(rate_limit=rate)) == limit


def test_a_task_may_have_either_limit_both_or_none() -> None:
    """What a task does not set is no limit."""
    rate = RateLimit(10, per=1)
    assert Limit.of(TaskPolicy()) == Limit(0, 0, 0)
    assert Limit.of(TaskPolicy(concurrency=5)) == Limit(5, 0, 0)
    assert Limit.of(TaskPolicy(concurrency=5, rate_limit=rate)) == Limit(5, 10, 1_000_000)
