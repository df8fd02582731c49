"""What is known of each start of a job, by whichever way it came to its end: it is complete, and it is true."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from arq import Retry

from {{ cookiecutter.__package }}.infrastructure.jobs import FailureCause, JobStatus, Worker, keys
from {{ cookiecutter.__package }}.infrastructure.jobs.history import JobHistory
from {{ cookiecutter.__package }}.infrastructure.jobs.running.claims import Claimer
from {{ cookiecutter.__package }}.infrastructure.jobs.running.served import ServedQueues
from {{ cookiecutter.__package }}.infrastructure.jobs.task import task
from {{ cookiecutter.__package }}.infrastructure.tasks import get_redis_settings

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import JobRecord, TaskContext, TaskPool

    from ..conftest import RunJobs


async def works(ctx: TaskContext) -> None:
    """Do nothing."""


async def fails(ctx: TaskContext) -> None:  # noqa: ARG001
    raise ValueError("no luck")


async def record_of(pool: TaskPool) -> JobRecord:
    """Give what is known of the one job, and see that its starts stand in order, as does its line in the history."""
    record = await pool.record("a")
    assert record is not None
    times = [record.enqueue_time]
    for attempt in record.attempts:
        times += [attempt.start_time, attempt.finish_time]
        if attempt.start_time and attempt.finish_time:
            assert attempt.duration == (attempt.finish_time - attempt.start_time).total_seconds()
    known = [time for time in (*times, record.finish_time) if time]
    assert all(first <= then for first, then in pairwise(known)), known
    [line] = (await JobHistory(pool).list()).jobs
    for name in ("status", "tries", "worker", "start_time", "finish_time", "duration", "error"):
        assert getattr(line, name) == getattr(record, name), name
    return record


def outcomes(record: JobRecord) -> list[str]:
    return [attempt.outcome for attempt in record.attempts]


async def lose(pool: TaskPool) -> None:
    """Let a worker claim the job and die, and its lease lapse."""
    began = asyncio.get_running_loop().time()
    await Claimer(pool, "lost", lease=60, served=ServedQueues((), first=keys.queue())).claim(
        1, spare_lapsed=False, began=began
    )
    await pool.delete(keys.in_progress("a"))
    seconds, _ = await pool.time()
    await pool.zadd(keys.queue(), {"a": seconds * 1000 - 999.5})


async def test_a_success_at_once(pool: TaskPool, run_jobs: RunJobs) -> None:
    """One start, with its worker and its times, which are the job's."""
    await pool.enqueue("works", job_id="a")
    worker = await run_jobs(works)
    record = await record_of(pool)
    [attempt] = record.attempts
    assert (record.status, record.tries, attempt.outcome, attempt.error) == (JobStatus.SUCCESS, 1, "success", None)
    assert attempt.worker == record.worker == worker.presence.record.worker_id
    assert (attempt.start_time, attempt.finish_time) == (record.start_time, record.finish_time)
    assert attempt.duration is not None


async def test_failures_and_a_wish_for_another_try(pool: TaskPool, run_jobs: RunJobs) -> None:
    """Each start with the error that it ended with."""

    async def third_time_lucky(ctx: TaskContext) -> None:
        if ctx["job_try"] == 1:
            raise ValueError("no luck")
        if ctx["job_try"] == 2:
            raise Retry(defer=0)

    await pool.enqueue("third_time_lucky", job_id="a")
    await run_jobs(third_time_lucky)
    record = await record_of(pool)
    assert (record.status, record.tries) == (JobStatus.SUCCESS, 3)
    assert outcomes(record) == ["failed", "retry", "success"]
    assert [attempt.error for attempt in record.attempts] == ["ValueError: no luck", None, None]
    assert len({attempt.worker for attempt in record.attempts}) == 1


async def test_timeouts(pool: TaskPool, run_jobs: RunJobs) -> None:
    """The last start, too, says that it took too long."""

    async def hangs(ctx: TaskContext) -> None:  # noqa: ARG001
        await asyncio.Event().wait()

    await pool.enqueue("hangs", job_id="a")
    await run_jobs(hangs, job_timeout=0.02, max_tries=2)
    record = await record_of(pool)
    assert (record.status, record.cause, record.tries) == (JobStatus.FAILED, FailureCause.TIMEOUT, 2)
    assert outcomes(record) == ["timeout", "timeout"]
    assert all(attempt.error and attempt.error.startswith("TimeoutError") for attempt in record.attempts)


async def test_a_worker_that_was_lost(pool: TaskPool, run_jobs: RunJobs) -> None:
    """Of that start it is known when it was found to be lost; it counts as no try."""
    await pool.enqueue("works", job_id="a")
    await lose(pool)
    await run_jobs(works)
    record = await record_of(pool)
    assert (record.status, record.tries, outcomes(record)) == (JobStatus.SUCCESS, 1, ["lost", "success"])
    assert record.attempts[0].finish_time is not None


async def test_too_many_workers_that_were_lost(pool: TaskPool, run_jobs: RunJobs) -> None:
    """The job ended with none of its starts, so there is no last one, nor a worker that ran it."""
    await pool.enqueue("works", job_id="a")
    for _ in range(3):
        await lose(pool)
    await run_jobs(works, max_tries=3)
    record = await record_of(pool)
    assert (record.status, record.cause, record.tries) == (JobStatus.FAILED, FailureCause.LOST_WORKER, 0)
    assert (outcomes(record), record.worker, record.start_time, record.duration) == (["lost"] * 3, None, None, None)


async def test_a_worker_that_stopped(pool: TaskPool, run_jobs: RunJobs) -> None:
    """What it handed back is known, and costs no try."""
    started = asyncio.Event()

    async def slow(ctx: TaskContext) -> None:  # noqa: ARG001
        if not started.is_set():
            started.set()
            await asyncio.Event().wait()

    await pool.enqueue("slow", job_id="a")
    worker = Worker(
        [task(name="slow")(slow)],
        redis_settings=get_redis_settings(),
        handle_signals=False,
        job_completion_wait=0,
        allow_no_persistence=True,
    )
    running = asyncio.create_task(worker.async_run())
    await started.wait()
    await worker.close()
    await asyncio.gather(running, return_exceptions=True)
    await run_jobs(slow)
    record = await record_of(pool)
    assert (record.status, record.tries, outcomes(record)) == (JobStatus.SUCCESS, 1, ["handed_back", "success"])
    assert record.attempts[0].worker == worker.presence.record.worker_id
    assert record.attempts[0].duration is not None


async def test_a_running_job_that_was_cancelled(pool: TaskPool, run_jobs: RunJobs) -> None:
    """Its start was cancelled."""
    started = asyncio.Event()

    async def hangs(ctx: TaskContext) -> None:  # noqa: ARG001
        started.set()
        await asyncio.Event().wait()

    await pool.enqueue("hangs", job_id="a")
    running = asyncio.create_task(run_jobs(hangs))
    await started.wait()
    record = await pool.record("a")
    assert record is not None
    assert (outcomes(record), record.attempts[0].start_time) == (["running"], record.start_time)
    assert await pool.cancel("a", terminate=True)
    worker = await running
    record = await record_of(pool)
    assert (record.status, record.tries, outcomes(record)) == (JobStatus.CANCELLED, 1, ["cancelled"])
    assert record.worker == worker.presence.record.worker_id


async def test_a_job_that_was_cancelled_between_two_tries(pool: TaskPool, run_jobs: RunJobs) -> None:
    """The try that failed before is known, and counts."""
    await pool.enqueue("fails", job_id="a")
    await run_jobs(fails, retry_delay=timedelta(hours=1), max_burst_jobs=1)
    assert await pool.cancel("a")
    record = await record_of(pool)
    assert (record.status, record.tries, outcomes(record)) == (JobStatus.CANCELLED, 1, ["failed"])
    assert (record.worker, record.start_time) == (None, None)


@pytest.mark.parametrize(
    ("way", "status", "cause"),
    [
        ("cancelled", JobStatus.CANCELLED, None),
        ("expired", JobStatus.FAILED, FailureCause.EXPIRED),
        ("unknown", JobStatus.FAILED, FailureCause.UNKNOWN_TASK),
        ("damaged", JobStatus.FAILED, FailureCause.UNDECODABLE),
        ("aborted", JobStatus.CANCELLED, None),
    ],
)
async def test_a_job_that_never_started(
    way: str, status: JobStatus, cause: FailureCause | None, pool: TaskPool, run_jobs: RunJobs
) -> None:
    """There is no try of it, no start and no worker, whoever found that out."""
    await pool.enqueue("no_such_task" if way == "unknown" else "works", job_id="a", expires=60)
    if way == "cancelled":
        await pool.cancel("a")
    if way == "expired":
        await pool.delete(keys.job("a"))  # its time is over
    if way == "damaged":
        await pool.set(keys.job("a"), b"\xc1")
    if way == "aborted":  # as arq's own `Job.abort` says it
        await pool.zadd(keys.ABORTS, {"a": 1 + (await pool.time())[0] * 1000})
    await run_jobs(works)
    record = await record_of(pool)
    assert (record.status, record.cause, record.tries, record.attempts) == (status, cause, 0, ())
    assert (record.worker, record.start_time, record.duration) == (None, None, None)
    assert record.finish_time is not None
    assert (record.enqueue_time is None) == (way == "damaged")


async def test_a_result_that_cannot_be_stored(pool: TaskPool, run_jobs: RunJobs) -> None:
    """The try ended well, and the job has failed all the same: that has a cause like every failure."""

    async def gives(ctx: TaskContext) -> object:  # noqa: ARG001
        return object()

    await pool.enqueue("gives", job_id="a")
    await run_jobs(gives)
    record = await record_of(pool)
    assert (record.status, record.cause, record.tries) == (JobStatus.FAILED, FailureCause.EXCEPTION, 1)
    assert (record.error, outcomes(record)) == ("unable to serialize result", ["failed"])
