"""Named queues in memory, as tests of a project use them."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import JobPriority, QueueFull, Queues, RateLimit
from {{ cookiecutter.__package }}.infrastructure.jobs.task import task
from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext


async def note(_ctx: TaskContext) -> None:
    """End at once."""


@task(rate_limit=RateLimit(1, per=timedelta(hours=1)))
async def seldom(_ctx: TaskContext) -> None:
    """End at once, too."""


@pytest.fixture
async def memory() -> AsyncIterator[MemoryJobs]:
    """Give a queue in memory, and these tasks."""
    async with MemoryJobs(SimpleNamespace(functions=[note, seldom])) as jobs:
        yield jobs


async def test_a_paused_queue_rests(memory: MemoryJobs) -> None:
    """Its jobs are not run, nor waited for, until it is resumed; those of others are."""
    queues = Queues(memory.pool)
    await queues.pause("mail")
    await memory.pool.enqueue("note", queue="mail")
    await memory.pool.enqueue("note", queue="mail", defer_by=60)
    await memory.pool.enqueue("note", defer_by=60)
    assert [job.queue for job in await memory.run_jobs(scheduled=True)] == ["default"]
    assert await queues.length("mail") == 2
    await queues.resume("mail")
    assert [job.queue for job in await memory.run_jobs(scheduled=True)] == ["mail"] * 2


async def test_a_queue_is_described_and_purged(memory: MemoryJobs) -> None:
    """As on a real Redis, in all its lanes."""
    queues = Queues(memory.pool)
    for priority in JobPriority:
        await memory.pool.enqueue("note", queue="mail", priority=priority)
    assert [job.priority for job in memory.enqueued_jobs(queue="mail")] == list(JobPriority)
    memory.clock.advance(5)
    [_, mail] = await queues.list()
    assert (mail.name, mail.depth, mail.priorities) == ("mail", 4, dict.fromkeys(JobPriority, 1))
    assert mail.age is not None
    assert 5 <= mail.age < 60
    assert await queues.purge("mail") == 4
    assert memory.enqueued_jobs() == []


async def test_a_parked_job_is_due_when_it_was(memory: MemoryJobs) -> None:
    """It is listed like any other job that waits, whatever its priority makes of its place in the line."""
    ids = [await memory.pool.enqueue("seldom", job_id=each, priority=JobPriority.CRITICAL) for each in "abc"]
    due = {job.job_id: job.due for job in memory.enqueued_jobs()}
    assert [job.job_id for job in await memory.run_jobs()] == ids[:1]
    parked, promoted = memory.enqueued_jobs()
    assert (parked.job_id, parked.due) == ("c", due["c"])
    assert (promoted.job_id, promoted.due - due["b"] > timedelta(minutes=59)) == ("b", True)
    state = await Queues(memory.pool).get()
    assert (state.scheduled, state.parked) == (1, 1)


async def test_a_full_queue_refuses_in_memory_too(memory: MemoryJobs) -> None:
    """The same step says so."""
    memory.pool.max_queue_length = 1
    await memory.pool.enqueue("note")
    with pytest.raises(QueueFull):
        await memory.pool.enqueue("note")
