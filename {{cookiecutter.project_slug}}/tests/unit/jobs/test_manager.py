"""What a manager looks up and steers works in memory too, as far as it goes there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    BulkAction,
    JobManager,
    JobStatus,
    MemoryQueueBackend,
    ScheduleNotFoundError,
    WrongStateError,
    task,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import WorkerNotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext


@task(retry=1)
async def charge(ctx: TaskContext, customer: str, token: str = "", *, mended: bool = False) -> str:  # noqa: ARG001
    if not mended:
        raise ValueError("no luck")
    return f"{customer} by {token}"


@pytest.fixture
async def manager() -> AsyncIterator[JobManager]:
    """Give a manager whose jobs run in memory."""
    async with JobManager(MemoryQueueBackend(functions=[charge])) as manager:
        yield manager


async def failed(manager: JobManager, count: int = 1) -> list[str]:
    """Let jobs fail, and give their ids."""
    job_ids = [str(await manager.enqueue("charge", "ada", "tok_42")) for _ in range(count)]
    for job_id in job_ids:
        assert (await manager.wait_for(job_id)).status is JobStatus.FAILED
    return job_ids


async def test_jobs_are_listed_and_inspected(manager: JobManager) -> None:
    """By their filters; what is known of one hides its secrets."""
    [job_id] = await failed(manager)
    later = str(await manager.enqueue_delayed("charge", "bob", delay=60))
    assert [job.job_id for job in (await manager.list_jobs()).jobs] == [later, job_id]
    assert [job.job_id for job in (await manager.list_jobs(status="failed", task="charge")).jobs] == [job_id]
    assert [job.status for job in (await manager.list_jobs(job_id=later)).jobs] == [JobStatus.SCHEDULED]
    details = await manager.inspect(job_id)
    assert details is not None
    assert (details.job.args, details.dead) == (("ada", "***"), True)
    assert [job.args for job in (await manager.list_dead_letters()).jobs] == [("ada", "***")]


async def test_a_job_is_retried_ended_and_discarded(manager: JobManager) -> None:
    """Each only where it makes sense."""
    first, second = await failed(manager, 2)
    new_id = await manager.retry(first, args=("bob", "***"), kwargs={"mended": True})
    assert (await manager.wait_for(new_id)).result == "bob by tok_42"
    await manager.discard(second)
    with pytest.raises(WrongStateError):
        await manager.retry(second)
    later = str(await manager.enqueue_delayed("charge", "bob", delay=60))
    assert (await manager.end(later)).status is JobStatus.CANCELLED
    with pytest.raises(WrongStateError):
        await manager.end(later)


async def test_many_are_dealt_with_at_once(manager: JobManager) -> None:
    """All that a dry run counts."""
    await failed(manager, 5)
    assert (await manager.bulk(BulkAction.DISCARD, dry_run=True)).done == 5
    assert (await manager.bulk(BulkAction.DISCARD, limit=3)).more is True
    assert (await manager.bulk("retry")).done == 2
    for _ in range(3):
        await manager.enqueue_delayed("charge", "bob", delay=60)
    assert (await manager.bulk("cancel", status="scheduled", task="charge")).done == 3


async def test_queues_schedules_and_workers_are_described(manager: JobManager) -> None:
    """There is one worker, which runs in the process."""
    await manager.enqueue_delayed("charge", "bob", delay=60)
    [queue] = await manager.list_queues()
    assert (queue.name, queue.scheduled, (await manager.get_queue()).scheduled) == ("default", 1, 1)
    schedule = await manager.schedule("charge", "0 9 * * *", args=("ada",))
    assert await manager.get_schedule("charge") == schedule
    with pytest.raises(ScheduleNotFoundError):
        await manager.get_schedule("nobody")
    for call in (manager.get_worker, manager.quiet_worker, manager.stop_worker):
        with pytest.raises(WorkerNotFoundError):
            await call("nobody")


async def test_a_worker_can_be_told_to_rest(manager: JobManager) -> None:
    """It is the one that runs in the process; there is an overview of what such workers did."""
    await failed(manager)
    [worker] = await manager.list_workers()
    assert await manager.get_worker(worker.worker_id) == worker
    await manager.quiet_worker(worker.worker_id)
    assert (await manager.overview()).day.seconds >= 86_400
