"""Bins of times, and statistics in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import Statistics
from {{ cookiecutter.__package }}.infrastructure.jobs.statistics import LAST_BIN, Period, bin_of, seconds_of
from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext


async def note(_ctx: TaskContext) -> None:
    """End at once."""


async def fails(_ctx: TaskContext) -> None:
    raise ValueError("no")


def test_a_bin_is_a_tenth_off_at_most() -> None:
    """What is read back of a time is near it, from a millisecond to years."""
    times = [*range(1, 5_000), *(2**power + 1 for power in range(12, 40))]
    assert [seconds_of(bin_of(ms)) * 1000 for ms in times] == pytest.approx(times, rel=0.1)


def test_a_time_has_a_bin_whatever_it_is() -> None:
    """Less than a millisecond, and what clocks made negative, is nothing; there is a last bin."""
    assert seconds_of(bin_of(0)) == seconds_of(bin_of(-5)) == 0
    assert bin_of(10**15) == bin_of(10**18) == LAST_BIN


def test_throughput_counts_all_that_has_ended() -> None:
    """It is per second; tries that others came after have ended nothing."""
    assert Period(10, succeeded=5, failed=2, cancelled=3, retried=100).throughput == 1


async def test_jobs_in_memory_are_counted() -> None:
    """As on a real Redis: what was cancelled by a client as well."""
    settings = SimpleNamespace(functions=[note, fails], max_tries=2, retry_delay=0)
    async with MemoryJobs(settings) as memory:
        for task in ("note", "note", "fails"):
            await memory.pool.enqueue(task)
        job_id = await memory.pool.enqueue("note", defer_by=60)
        assert job_id
        await memory.pool.cancel(job_id)
        await memory.run_jobs(scheduled=True)
        found = await Statistics(memory.pool).overview()
    counts = [(task.task, task.succeeded, task.failed, task.cancelled, task.retried) for task in found.day.tasks]
    assert counts == [("fails", 0, 1, 0, 1), ("note", 2, 0, 1, 0)]
    assert found.hour.tasks == found.day.tasks
