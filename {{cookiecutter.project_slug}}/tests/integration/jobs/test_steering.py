"""Ending one job, running it again and throwing it away, on a real Redis, and what is said where that cannot be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    ArqQueueBackend,
    DeadLetters,
    InvalidJobError,
    JobManager,
    JobNotFoundError,
    JobStatus,
    TaskRegistry,
    UnreplayableError,
    UnserializableError,
    WrongStateError,
    keys,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import Unique
from {{ cookiecutter.__package }}.infrastructure.jobs.task import task
from {{ cookiecutter.__package }}.infrastructure.tasks import close_task_pool, get_job_manager

from .limit_hands import Hand
from .told_workers import working

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from {{ cookiecutter.__package }}.infrastructure.jobs import JobRecord, TaskContext, TaskPool

    from ..conftest import RunJobs


async def charge(ctx: TaskContext, customer: str, token: str = "", cents: int = 0) -> str:  # noqa: ARG001
    if cents < 0:
        raise ValueError("no luck")
    return f"{customer} by {token}: {cents}"


async def sit(ctx: TaskContext) -> None:
    ctx["started"].set()
    await asyncio.Event().wait()


@pytest.fixture
def manager(pool: TaskPool) -> JobManager:
    """Give a manager that knows the tasks."""
    pool.registry = TaskRegistry([charge, sit])
    return JobManager(ArqQueueBackend(pool))


async def dead(manager: JobManager, run_jobs: RunJobs, *args: Any, **settings: Any) -> str:
    """Give the id of a job that has failed."""
    job_id = str(await manager.enqueue("charge", *args, cents=-1))
    await run_jobs(charge, **settings)
    return job_id


async def record_of(manager: JobManager, job_id: str | None) -> JobRecord:
    record = await manager.get_status(job_id)
    assert record is not None
    return record


async def refused(call: Awaitable[Any], status: str, problem: str) -> None:
    """Expect the error that tells where the job is."""
    with pytest.raises(WrongStateError, match=problem) as raised:
        await call
    assert raised.value.status is JobStatus(status)


# Ending


async def test_a_waiting_job_is_ended(manager: JobManager) -> None:
    """The answer is what is known of it then; once more, it says that it has ended."""
    job_id = str(await manager.enqueue("charge", "ada", "tok_42"))
    ended = await manager.end(job_id)
    assert (ended.status, ended.args) == (JobStatus.CANCELLED, ("ada", "***"))
    await refused(manager.end(job_id), "cancelled", f"job {job_id} is cancelled: it has ended")


async def test_a_running_job_is_ended_only_if_that_is_wanted(manager: JobManager) -> None:
    """Without `terminate` it is told that it runs, and it goes on."""
    started = asyncio.Event()
    async with working(sit, ctx={"started": started}):
        job_id = str(await manager.enqueue("sit"))
        await started.wait()
        await refused(manager.end(job_id), "running", "a worker has it; with `terminate` it is ended there")
        assert (await manager.end(job_id, terminate=True)).status in {JobStatus.RUNNING, JobStatus.CANCELLED}
        assert (await manager.wait_for(job_id)).status is JobStatus.CANCELLED


async def test_a_job_that_has_ended_is_not_ended(manager: JobManager, run_jobs: RunJobs) -> None:
    """Nor one of which only the last line is left; one that nobody knows is another error."""
    job_id = str(await manager.enqueue("charge", "ada"))
    await run_jobs(charge)
    await refused(manager.end(job_id), "success", "it has ended")
    await refused(manager.end(await dead(manager, run_jobs, "ada", keep_result=0)), "failed", "it has ended")
    with pytest.raises(JobNotFoundError, match="'nobody' is no job"):
        await manager.end("nobody")


async def test_a_workflow_is_ended_as_a_whole(manager: JobManager) -> None:
    """All its jobs, or none, where only running ones are left."""
    chain = await manager.chain([("charge", ("ada",)), ("charge", ("bob",))])
    assert (await manager.end(chain)).status is JobStatus.CANCELLED
    await refused(manager.end(chain), "cancelled", "it has ended")
    group = await manager.group([("charge", ("ada",))])
    await Hand(await manager.connect(), None).start()
    await refused(manager.end(group), "running", "with `terminate`")


@pytest.mark.usefixtures("tables", "redis_url")
async def test_a_job_in_the_outbox_is_not_ended_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on its way to Redis: the error says so, and it is no unknown job."""
    manager = await get_job_manager()
    backend: Any = manager.backend
    find, waits = backend.find, (await record_of(manager, await manager.enqueue("example_task", message="a")))

    async def in_outbox(job_id: str) -> JobRecord | None:
        return waits if job_id == "in the outbox" else await find(job_id)

    monkeypatch.setattr(type(backend), "find", lambda _, job_id: in_outbox(job_id))
    await refused(manager.end("in the outbox"), "pending", "it is on its way to its queue")
    await close_task_pool()


# Running again


async def test_a_failed_job_is_run_again(manager: JobManager, run_jobs: RunJobs) -> None:
    """Once: then it says that its dead letter is gone."""
    job_id = await dead(manager, run_jobs, "ada", "tok_42")
    new_id = await manager.retry(job_id)
    record = await record_of(manager, new_id)
    assert (record.replay_of, record.args, record.kwargs) == (job_id, ("ada", "tok_42"), {"cents": -1})
    await refused(manager.retry(job_id), "failed", "its dead letter is gone")


async def test_edited_arguments_keep_the_secrets_that_were_shown_masked(manager: JobManager, run_jobs: RunJobs) -> None:
    """What `inspect` shows can be edited and given back."""
    job_id = await dead(manager, run_jobs, "ada", "tok_42")
    details = await manager.inspect(job_id)
    assert details is not None
    assert details.job.args == ("ada", "***")
    new_id = await manager.retry(job_id, args=("bob", *details.job.args[1:]), kwargs={"cents": 7})
    await run_jobs(charge)
    assert (await record_of(manager, new_id)).result == "bob by tok_42: 7"


@pytest.mark.parametrize(
    ("edited", "error"),
    [
        ({"args": ("ada", "t", 1, "too many")}, InvalidJobError),
        ({"kwargs": {"euros": 1}}, InvalidJobError),
        ({"args": ("ada",), "kwargs": {"token": "***"}}, InvalidJobError),
        ({"args": (object(),)}, UnserializableError),
    ],
)
async def test_wrong_arguments_leave_the_job_as_it_is(
    edited: dict[str, Any], error: type[Exception], manager: JobManager, run_jobs: RunJobs
) -> None:
    """It can still be run again."""
    job_id = await dead(manager, run_jobs, "ada", "tok_42")
    with pytest.raises(error):
        await manager.retry(job_id, **edited)
    assert await manager.retry(job_id)


async def test_only_failed_jobs_are_run_again(manager: JobManager, run_jobs: RunJobs) -> None:
    """The error says where a job is; one that is not known, and a workflow, have their own."""
    job_id = str(await manager.enqueue("charge", "ada"))
    for call in (manager.retry, manager.discard):
        await refused(call(job_id), "pending", "only a job that has failed for good can be retried or discarded")
    await run_jobs(charge)
    await refused(manager.retry(job_id, args=("bob",)), "success", "only a job that has failed")
    for call in (manager.retry, manager.discard):
        with pytest.raises(JobNotFoundError):
            await call("nobody")
    chain = await manager.chain([("charge", ("ada",), {"cents": -1})])
    await run_jobs(charge)
    await refused(manager.retry(chain), "failed", "it is a workflow; retry or discard those of its jobs")
    assert await manager.retry(keys.workflow_job(chain, 0))


async def test_a_unique_job_is_not_run_beside_its_like(manager: JobManager, run_jobs: RunJobs) -> None:
    """The dead letter stays."""
    job_id = await dead(manager, run_jobs, "ada")
    (await manager.connect()).registry = TaskRegistry([task(name="charge", unique=Unique.FINISHED)(charge)])
    await manager.enqueue("charge", "ada", cents=-1)
    with pytest.raises(UnreplayableError, match="charge is unique"):
        await manager.retry(job_id)
    await manager.discard(job_id)


async def test_several_at_once_make_one_job(pool: TaskPool, manager: JobManager, run_jobs: RunJobs) -> None:
    """The others are told that it is gone, whether they would run it again or throw it away."""
    job_id = await dead(manager, run_jobs, "ada")
    calls = [manager.retry(job_id) for _ in range(4)] + [manager.retry(job_id, kwargs={"cents": 1}) for _ in range(4)]
    answers = await asyncio.gather(*calls, *[manager.discard(job_id) for _ in range(2)], return_exceptions=True)
    assert sum(isinstance(answer, WrongStateError) for answer in answers) == 9
    assert await pool.zcard(keys.queue()) == sum(isinstance(answer, str) for answer in answers)


# Throwing away


async def test_a_dead_letter_is_thrown_away(pool: TaskPool, manager: JobManager, run_jobs: RunJobs) -> None:
    """What is known of the job otherwise stays; it cannot be run again."""
    job_id = await dead(manager, run_jobs, "ada")
    await manager.discard(job_id)
    assert await DeadLetters(pool).count() == 0
    assert (await record_of(manager, job_id)).status is JobStatus.FAILED
    for call in (manager.retry, manager.discard):
        await refused(call(job_id), "failed", "its dead letter is gone: it was retried or discarded before")
