"""Watching a job to its end, over a queue in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.console import watching
from {{ cookiecutter.__package }}.console.watching import watch
from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobManager,
    JobNotFoundError,
    JobRecord,
    QueueUnavailable,
)
from {{ cookiecutter.__package }}.infrastructure.tasks import enqueue_task, get_job_manager

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs.testing import MemoryJobs


pytestmark = pytest.mark.usefixtures("tables")  # a job may be in the outbox


class Watcher:
    """Somebody who watches a job."""

    def __init__(self, manager: JobManager, job_id: str) -> None:
        self.seen: list[JobRecord] = []
        self.news = asyncio.Event()
        self.work = asyncio.create_task(watch(manager, job_id, self.show))

    def show(self, record: JobRecord) -> None:
        self.seen.append(record)
        self.news.set()


@pytest.fixture
async def watcher(jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch) -> Watcher:  # noqa: ARG001 - the queue
    """Give somebody who has seen that a job waits."""
    monkeypatch.setattr(watching, "PERIOD", 0.01)
    watcher = Watcher(await get_job_manager(), str(await enqueue_task("example_task", message="x")))
    await watcher.news.wait()
    return watcher


async def test_every_change_is_shown_once(watcher: Watcher, jobs: MemoryJobs) -> None:
    """The last record is shown too, and given."""
    await jobs.run_jobs()
    record = await watcher.work
    assert record == watcher.seen[-1]
    assert (watcher.seen[0].status, record.status) == ("pending", "success")
    assert all(one != other for one, other in zip(watcher.seen, watcher.seen[1:], strict=False))


async def test_a_redis_that_is_away_in_the_middle_is_waited_for(
    watcher: Watcher, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart of Redis does not end that."""
    asked, look = asyncio.Event(), JobManager.get_status

    async def get_status(manager: JobManager, job_id: str | None) -> JobRecord | None:
        try:
            return await look(manager, job_id)
        except QueueUnavailable:
            asked.set()
            raise

    monkeypatch.setattr(JobManager, "get_status", get_status)
    with jobs.redis_away():
        await asked.wait()
    await jobs.run_jobs()
    assert (await watcher.work).status == "success"


async def test_a_redis_that_stays_away_ends_it(
    watcher: Watcher, jobs: MemoryJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is to wait for ever."""
    monkeypatch.setattr(watching, "PATIENCE", 0)
    with jobs.redis_away(), pytest.raises(QueueUnavailable):
        await watcher.work


async def test_a_job_that_is_forgotten_ends_it(watcher: Watcher, jobs: MemoryJobs) -> None:
    """Its result may not be kept."""
    await jobs.pool.flushdb()
    with pytest.raises(JobNotFoundError):
        await watcher.work
