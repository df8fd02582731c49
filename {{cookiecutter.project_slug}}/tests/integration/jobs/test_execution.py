"""What happens to a try: retries, deadlines, progress; on a real Redis, through a real worker."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from arq import Retry

from {{ cookiecutter.__package }}.infrastructure.jobs import JobStatus, Progress, Worker, keys
from {{ cookiecutter.__package }}.infrastructure.jobs import worker as worker_module
from {{ cookiecutter.__package }}.infrastructure.jobs.task import as_function
from {{ cookiecutter.__package }}.infrastructure.tasks import get_redis_settings

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import JobRecord, TaskContext, TaskPool

    from ..conftest import RunJobs


async def ended(pool: TaskPool, job_id: str) -> JobRecord:
    info = await pool.record(job_id)
    assert info is not None
    return info


async def fails_twice(ctx: TaskContext) -> int:
    if ctx["job_try"] < 3:
        raise ConnectionError("not yet")
    return int(ctx["job_try"])


async def fails(ctx: TaskContext, seen: str) -> None:  # noqa: ARG001
    raise ValueError(f"no {seen}")


async def test_an_exception_is_retried(pool: TaskPool, run_jobs: RunJobs) -> None:
    """Any exception leads to another try, without a decorator."""
    await pool.enqueue("fails_twice", job_id="a")
    worker = await run_jobs(fails_twice)
    info = await ended(pool, "a")
    assert (info.status, info.result, info.tries) == (JobStatus.SUCCESS, 3, 3)
    assert (worker.jobs_retried, worker.jobs_complete) == (2, 1)


async def test_the_last_failure_is_kept(pool: TaskPool, run_jobs: RunJobs) -> None:
    """After `max_tries` the job has failed; its error says why, not that tries were exceeded."""
    await pool.enqueue("fails", ("luck",), job_id="a")
    await run_jobs(fails)
    info = await ended(pool, "a")
    assert (info.status, info.error, info.tries) == (JobStatus.FAILED, "ValueError: no luck", 3)
    assert info.result is None


async def test_a_task_may_have_its_own_number_of_tries(pool: TaskPool, run_jobs: RunJobs) -> None:
    """What a task sets for itself, as `arq.func(task, max_tries=...)` does, wins over the worker's setting."""
    await pool.enqueue("fails", ("luck",), job_id="a")
    await run_jobs(replace(as_function(fails), max_tries=1))
    assert (await ended(pool, "a")).tries == 1


async def test_a_failed_try_waits_before_the_next(pool: TaskPool, run_jobs: RunJobs) -> None:
    """Between two tries a job is `retrying`, due no later than `retry_delay` allows, and says how often it ran."""
    await pool.enqueue("fails", ("luck",), job_id="a")
    await run_jobs(fails, retry_delay=timedelta(hours=1), max_burst_jobs=1)
    info = await ended(pool, "a")
    assert (info.status, info.tries) == (JobStatus.RETRYING, 1)
    due = await pool.zscore(keys.queue(), "a")
    assert due is not None
    assert info.enqueue_time is not None
    assert due / 1000 < info.enqueue_time.timestamp() + 3600 + 60


async def test_retry_with_a_delay_of_its_own(pool: TaskPool, run_jobs: RunJobs) -> None:
    """`raise Retry(defer=60)` means 60 seconds, without jitter."""

    async def asks(ctx: TaskContext) -> None:  # noqa: ARG001
        raise Retry(defer=60)

    await pool.enqueue("asks", job_id="a")
    await run_jobs(asks, max_burst_jobs=1)
    info = await ended(pool, "a")
    due = await pool.zscore(keys.queue(), "a")
    assert info.status is JobStatus.RETRYING
    assert due is not None
    assert info.enqueue_time is not None
    assert 59.99 < due / 1000 - info.enqueue_time.timestamp() < 65


async def test_retry_in_the_last_try_is_a_failure(pool: TaskPool, run_jobs: RunJobs) -> None:
    """A task cannot ask for ever."""

    async def asks(ctx: TaskContext) -> None:  # noqa: ARG001
        raise Retry

    await pool.enqueue("asks", job_id="a")
    await run_jobs(asks)
    info = await ended(pool, "a")
    assert (info.status, info.tries) == (JobStatus.FAILED, 3)
    assert info.error is not None
    assert info.error == "MaxTriesExceededError: max 3 retries exceeded: asks asked for another in its last try"


async def test_a_timeout_is_retried_and_then_a_failure(pool: TaskPool, run_jobs: RunJobs) -> None:
    """A try that takes longer than `job_timeout` ends with TimeoutError."""

    async def hangs(ctx: TaskContext) -> None:  # noqa: ARG001
        await asyncio.Event().wait()

    await pool.enqueue("hangs", job_id="a")
    await run_jobs(hangs, job_timeout=0.05)
    info = await ended(pool, "a")
    assert (info.status, info.tries) == (JobStatus.FAILED, 3)
    assert info.error is not None
    assert info.error.startswith("TimeoutError")


async def test_a_task_may_have_its_own_timeout(pool: TaskPool, run_jobs: RunJobs) -> None:
    """What a task sets for itself, as `arq.func(task, timeout=...)` does, wins over the worker's setting."""

    async def hangs(ctx: TaskContext) -> None:  # noqa: ARG001
        await asyncio.Event().wait()

    await pool.enqueue("hangs", job_id="a")
    await run_jobs(replace(as_function(hangs), timeout_s=0.05, max_tries=1))
    assert (await ended(pool, "a")).status is JobStatus.FAILED


@pytest.mark.parametrize("seconds", [3600, timedelta(hours=1)])
async def test_a_running_task_can_move_its_deadline(
    seconds: float | timedelta, pool: TaskPool, run_jobs: RunJobs
) -> None:
    """`ctx["job_timeout"] = 3600` gives this try an hour, and the lease stays as short as ever."""
    claims = []

    async def long(ctx: TaskContext) -> str:
        ctx["job_timeout"] = seconds
        await asyncio.sleep(0.3)  # six times the worker's limit
        claims.append(await ctx["redis"].ttl(keys.in_progress(ctx["job_id"])))
        return "done"

    await pool.enqueue("long", job_id="a")
    await run_jobs(long, job_timeout=0.05, max_tries=1)
    assert (await ended(pool, "a")).result == "done"
    assert 0 < claims[0] <= 15


async def test_a_running_task_can_shorten_its_deadline(pool: TaskPool, run_jobs: RunJobs) -> None:
    """The deadline counts from the start of the try, so one in the past ends it."""

    async def hangs(ctx: TaskContext) -> None:
        ctx["job_timeout"] = 0
        await asyncio.Event().wait()

    await pool.enqueue("hangs", job_id="a")
    await run_jobs(hangs, max_tries=1)
    assert (await ended(pool, "a")).status is JobStatus.FAILED


async def test_a_plain_function_runs_in_a_thread(pool: TaskPool, run_jobs: RunJobs) -> None:
    """`def` tasks do not block the worker; deadline and progress work from the thread too."""
    threads = []

    def plain(ctx: TaskContext, word: str) -> str:
        threads.append(threading.current_thread())
        ctx["job_timeout"] = 60
        ctx.progress(1, 2, "half way")
        return word.upper()

    await pool.enqueue("plain", ("word",), job_id="a")
    await run_jobs(plain)
    info = await ended(pool, "a")
    assert (info.result, info.progress) == ("WORD", Progress(1, 2, "half way"))
    assert threads[0] is not threading.main_thread()


async def test_progress_is_seen_while_the_task_runs(pool: TaskPool, run_jobs: RunJobs) -> None:
    """An awaited report is stored when the call returns; one that nobody awaits at the end at the latest."""
    seen: list[JobRecord | None] = []

    async def reports(ctx: TaskContext) -> None:
        await ctx.progress(1, 10, "first")
        seen.append(await pool.record("a"))
        for done in range(2, 11):
            ctx.progress(done, 10)

    await pool.enqueue("reports", job_id="a")
    await run_jobs(reports)
    assert seen[0] is not None
    assert (seen[0].status, seen[0].progress) == (JobStatus.RUNNING, Progress(1, 10, "first"))
    assert (await ended(pool, "a")).progress == Progress(10, 10)


async def test_progress_is_seen_where_results_are_not_kept(pool: TaskPool, run_jobs: RunJobs) -> None:
    """With `keep_result = 0` a running job is seen all the same."""
    seen: list[JobRecord | None] = []

    async def reports(ctx: TaskContext) -> None:
        await ctx.progress(1, 2)
        seen.append(await pool.record("a"))

    await pool.enqueue("reports", job_id="a")
    await run_jobs(reports, keep_result=0)
    assert seen[0] is not None
    assert seen[0].progress == Progress(1, 2)
    assert await pool.record("a") is None


async def test_the_context_says_what_runs(pool: TaskPool, run_jobs: RunJobs) -> None:
    """`ctx` has the connection, the job's id, try, times, and what start-up put there."""
    seen: dict[str, Any] = {}

    async def startup(ctx: dict[str, Any]) -> None:
        ctx["greeting"] = "hello"

    async def looks(ctx: TaskContext) -> None:
        seen.update(ctx)

    await pool.enqueue("looks", job_id="a")
    await run_jobs(looks, on_startup=startup)
    assert {"redis", "job_id", "job_try", "enqueue_time", "score", "greeting"} <= set(seen)
    assert (seen["job_id"], seen["job_try"], seen["greeting"]) == ("a", 1, "hello")


async def test_a_cancelled_job_is_recorded(pool: TaskPool, run_jobs: RunJobs) -> None:
    """`Job.abort` of arq ends a running job; its status is `cancelled`."""

    async def hangs(ctx: TaskContext) -> None:  # noqa: ARG001
        started.set()
        await asyncio.Event().wait()

    started = asyncio.Event()
    job = await pool.enqueue_job("hangs", _job_id="a")
    assert job is not None
    running = asyncio.create_task(run_jobs(hangs))
    await started.wait()
    assert await job.abort(poll_delay=0.01)
    await running
    assert (await ended(pool, "a")).status is JobStatus.CANCELLED


async def test_a_running_job_is_cancelled_at_once(pool: TaskPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker is told, and does not wait for its next look; the id may be used again."""
    monkeypatch.setattr(worker_module, "TICK", 3600)
    running = asyncio.Event()

    async def hangs(ctx: TaskContext) -> None:  # noqa: ARG001
        running.set()
        await asyncio.Event().wait()

    worker = Worker(
        [replace(as_function(hangs), name="hangs")],
        redis_settings=get_redis_settings(),
        handle_signals=False,
        allow_no_persistence=True,
        poll_delay=3600,
    )
    work = asyncio.create_task(worker.async_run())
    try:
        for _ in range(2):
            running.clear()
            assert await pool.enqueue("hangs", job_id="a") == "a"
            await running.wait()
            assert await pool.cancel("a", terminate=True)
            job = await pool.job("a")
            assert job is not None
            info = await job.wait(timeout=20)
            assert info is not None
            assert info.status is JobStatus.CANCELLED
            assert [attempt.outcome for attempt in info.attempts] == ["cancelled"]
        assert await pool.zcard(keys.history("cancelled")) == 2
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await worker.close()
