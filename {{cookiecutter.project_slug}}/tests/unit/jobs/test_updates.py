"""Watching jobs: what is given, who shares what, and what is left behind."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobManager,
    JobNotFoundError,
    JobRecord,
    JobStatus,
    MemoryQueueBackend,
    QueueUnavailable,
    updates,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.updates import Updates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext


class Gate:
    """A task that runs until it is let go, and says how far it is."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def wait(self, ctx: TaskContext) -> str:
        await ctx.progress(1, 2, "at the gate")
        await self.open.wait()
        return "through"


class Watched(JobManager):
    """Counts how often jobs are read, and fails to as often as it is told."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(MemoryQueueBackend(functions=[gate.wait]))
        self.gate = gate
        self.reads = 0
        self.failures = 0

    async def get_status(self, job_id: str | None) -> JobRecord | None:
        self.reads += 1
        if self.failures:
            self.failures -= 1
            raise QueueUnavailable
        return await super().get_status(job_id)


@pytest.fixture
async def manager() -> AsyncIterator[Watched]:
    async with Watched(Gate()) as manager:
        yield manager


@pytest.fixture
def watch(manager: Watched) -> Updates:
    async def get_manager() -> JobManager:
        return manager

    return Updates(get_manager)


async def statuses(watch: Updates, job_id: str | None, *, seconds: float | None = None) -> list[Any]:
    return [record and record.status for record in [record async for record in watch.of(str(job_id), seconds)]]


async def test_all_states_and_then_no_more(watch: Updates, manager: Watched) -> None:
    """Each state of a job is given once, its progress too; after its end there is nothing."""
    job_id = str(await manager.enqueue("Gate.wait"))
    found = []
    async for record in watch.of(job_id):
        assert record
        found.append((record.status, record.progress and record.progress.message))
        if found[-1] == (JobStatus.RUNNING, "at the gate"):
            manager.gate.open.set()
    assert found[-1] == (JobStatus.SUCCESS, "at the gate")
    assert len(set(found)) == len(found)
    assert not watch._readers


async def test_watchers_of_a_job_share_its_reads(watch: Updates, manager: Watched) -> None:
    """A hundred watchers cost no more reads than one, and all see the end, also those who come late."""
    job_id = await manager.enqueue_delayed("Gate.wait", delay=3600)
    first = [asyncio.create_task(statuses(watch, job_id)) for _ in range(50)]
    while not manager.reads:  # noqa: ASYNC110 - until the first has begun
        await asyncio.sleep(0)
    late = [asyncio.create_task(statuses(watch, job_id)) for _ in range(50)]
    await asyncio.sleep(0)
    assert await manager.cancel(job_id)
    found = await asyncio.gather(*first, *late)
    assert {each[-1] for each in found} == {JobStatus.CANCELLED}
    assert manager.reads <= 3


async def test_jobs_that_nobody_watches_are_not_read(watch: Updates, manager: Watched) -> None:
    """When the last watcher has gone, nothing goes on, and nobody listens any more."""
    job_id = await manager.enqueue_delayed("Gate.wait", delay=3600)
    async with aclosing(watch.of(str(job_id))) as one, aclosing(watch.of(str(job_id))) as two:
        assert await anext(one) == await anext(two)
        [reader] = watch._readers.values()
    assert not watch._readers
    assert reader.work
    with pytest.raises(asyncio.CancelledError):
        await reader.work
    assert not (await manager.connect()).events._ends


async def test_a_slow_watcher_misses_no_end(watch: Updates, manager: Watched) -> None:
    """Whoever does not take what is given is given the last state next."""
    job_id = await manager.enqueue_delayed("Gate.wait", delay=3600)
    async with aclosing(watch.of(str(job_id))) as slow:
        await anext(slow)
        assert await manager.cancel(job_id)
        await statuses(watch, job_id)
        last = await anext(slow)
        assert last
        assert last.status is JobStatus.CANCELLED


async def test_time_is_over(watch: Updates, manager: Watched) -> None:
    """After so many seconds there is an end without an error, but not before it is known how the job is."""
    job_id = await manager.enqueue_delayed("Gate.wait", delay=3600)
    assert await statuses(watch, job_id, seconds=0) == [JobStatus.SCHEDULED]


async def test_unknown_and_forgotten_jobs(watch: Updates, manager: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that nobody knows is an error, at first and later on."""
    monkeypatch.setattr(updates, "LOOK", 0.01)
    with pytest.raises(JobNotFoundError, match="'nothing'"):
        await statuses(watch, "nothing")
    job_id = await manager.enqueue_delayed("Gate.wait", delay=3600)
    async with aclosing(watch.of(str(job_id))) as forgotten:
        await anext(forgotten)
        await (await manager.connect()).flushall()
        with pytest.raises(JobNotFoundError):
            await anext(forgotten)


async def test_redis_away(watch: Updates, manager: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told once, however long it takes; then how the job is, even if that is the same as before."""
    monkeypatch.setattr(updates, "LOOK", 0.01)
    job_id = await manager.enqueue_delayed("Gate.wait", delay=3600)
    manager.failures = 3
    async with aclosing(watch.of(str(job_id))) as watched:
        assert await anext(watched) is None
        before = await anext(watched)
        manager.failures = 3
        assert await anext(watched) is None
        assert await anext(watched) == before
    assert before


async def test_closing_lets_everybody_go(watch: Updates, manager: Watched) -> None:
    """Those who watch, and those who come later: they are told how it is, and that is all."""
    job_id = await manager.enqueue_delayed("Gate.wait", delay=3600)
    watching = asyncio.create_task(statuses(watch, job_id))
    async with aclosing(watch.of(str(job_id))) as other:
        await anext(other)
        watch.close()
        assert await watching == [JobStatus.SCHEDULED]
    assert await statuses(watch, job_id) == [JobStatus.SCHEDULED]
