"""What a running task can tell of itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs.context import TaskContext
from {{ cookiecutter.__package }}.infrastructure.jobs.records import Progress


class Job:
    """Notes what its context asks for."""

    def __init__(self) -> None:
        self.deadlines: list[float] = []
        self.saved: list[Progress] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.context = TaskContext({"job_id": "id"}, move_deadline=self.deadlines.append, save_progress=self.save)

    async def save(self, progress: Progress) -> None:
        await self.gate.wait()
        self.saved.append(progress)


@pytest.fixture
async def job() -> Job:
    return Job()


@pytest.mark.parametrize("limit", [60, 60.0, timedelta(minutes=1)])
async def test_job_timeout_moves_the_deadline(job: Job, limit: Any) -> None:
    """In seconds or as a timedelta; any other key is just a key."""
    job.context["job_timeout"] = limit
    job.context["other"] = 5
    await asyncio.sleep(0)
    assert job.deadlines == [60.0]
    assert job.context == {"job_id": "id", "job_timeout": limit, "other": 5}


async def test_an_awaited_report_has_been_stored(job: Job) -> None:
    """And with nothing left to store, nothing is stored again."""
    await job.context.progress(1, 2, "half")
    assert job.saved == [Progress(1, 2, "half")]
    await job.context.save_progress()
    assert job.saved == [Progress(1, 2, "half")]


async def test_reports_that_follow_each_other_become_one(job: Job) -> None:
    """While one is being stored, only the last of those that come meanwhile waits."""
    job.gate.clear()
    first = job.context.progress(1)
    await asyncio.sleep(0)
    rest = [job.context.progress(number) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    job.gate.set()
    await asyncio.gather(first, *rest)
    assert job.saved == [Progress(1), Progress(4)]


async def test_the_end_waits_for_a_report_under_way(job: Job) -> None:
    """What the engine calls after the task leaves no report behind."""
    job.gate.clear()
    report = job.context.progress(1)
    await asyncio.sleep(0)
    last = asyncio.ensure_future(job.context.save_progress())
    await asyncio.sleep(0)
    assert not last.done()
    job.gate.set()
    await last
    assert job.saved == [Progress(1)]
    await report


async def test_a_thread_reports_too(job: Job) -> None:
    """A plain `def` task has no loop of its own."""

    def work() -> None:
        job.context["job_timeout"] = 5
        job.context.progress(1)

    await asyncio.to_thread(work)
    await job.context.save_progress()
    assert (job.saved, job.deadlines) == ([Progress(1)], [5.0])
