"""What a task sets for itself holds when a worker runs it; on a real Redis, through a real worker."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from arq import Retry

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    FailureCause,
    JobStatus,
    RetryConfig,
    TaskContext,
    Worker,
    background_task,
    retry,
    task,
    timeout,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.running import deadlines
from {{ cookiecutter.__package }}.infrastructure.tasks import get_redis_settings

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import JobRecord, TaskPool

    from ..conftest import RunJobs


async def record_of(pool: TaskPool, job_id: str = "a") -> JobRecord:
    info = await pool.record(job_id)
    assert info is not None
    return info


@retry(max_tries=4, delay=0)
async def stubborn(ctx: TaskContext) -> None:
    raise ConnectionError(f"try {ctx['job_try']}")


@timeout(0.01)
async def slow(ctx: TaskContext) -> None:  # noqa: ARG001
    await asyncio.Event().wait()


@background_task(retry=RetryConfig(max_tries=2, delay=0), timeout=0.01)
async def slow_twice(ctx: TaskContext) -> None:  # noqa: ARG001
    await asyncio.Event().wait()


@task(retry=RetryConfig(max_tries=5, delay=0, retry_on=ConnectionError, give_up_on=ConnectionRefusedError))
async def picky(ctx: TaskContext, *errors: str) -> None:
    kinds: dict[str, type[Exception]] = {kind.__name__: kind for kind in (ConnectionRefusedError, ConnectionResetError)}
    raise kinds.get(errors[ctx["job_try"] - 1], ValueError)("no")


async def test_retry_sets_the_number_of_tries(pool: TaskPool, run_jobs: RunJobs) -> None:
    """The queue tries again under the task's own policy, not the call in place; the worker's setting does not count."""
    await pool.enqueue("stubborn", job_id="a")
    worker = await run_jobs(stubborn, max_tries=2)
    info = await record_of(pool)
    assert (info.status, info.tries, info.error) == (JobStatus.FAILED, 4, "ConnectionError: try 4")
    assert worker.jobs_retried == 3
    assert [attempt.outcome for attempt in info.attempts] == ["failed"] * 4


@pytest.mark.parametrize(("function", "tries"), [(slow, 3), (slow_twice, 2)])
async def test_timeout_ends_a_try(function: Any, tries: int, pool: TaskPool, run_jobs: RunJobs) -> None:
    """A try that takes longer is over, is tried again, and its failure is known as a timeout."""
    await pool.enqueue(function.__name__, job_id="a")
    await run_jobs(function)
    info = await record_of(pool)
    assert (info.status, info.tries, info.cause) == (JobStatus.FAILED, tries, FailureCause.TIMEOUT)
    assert [attempt.outcome for attempt in info.attempts] == ["timeout"] * tries


@pytest.mark.parametrize(
    ("errors", "tries"),
    [
        (["ValueError"], 1),
        (["ConnectionResetError", "ConnectionRefusedError"], 2),
        (["ConnectionResetError"] * 5, 5),
    ],
)
async def test_some_failures_are_final(errors: list[str], tries: int, pool: TaskPool, run_jobs: RunJobs) -> None:
    """Only what `retry_on` names, and `give_up_on` does not, is tried again."""
    await pool.enqueue("picky", tuple(errors), job_id="a")
    await run_jobs(picky)
    info = await record_of(pool)
    assert (info.status, info.tries, info.cause) == (JobStatus.FAILED, tries, FailureCause.EXCEPTION)


async def test_hooks_follow_the_job(pool: TaskPool, run_jobs: RunJobs) -> None:
    """Each is called once, after the last try, with the outcome and the arguments; one that raises harms nobody."""
    told: list[tuple[Any, ...]] = []

    @task(retry=RetryConfig(max_tries=2, delay=0))
    async def order(ctx: TaskContext, number: int, *, fails: bool = False) -> str:  # noqa: ARG001
        if fails:
            raise ValueError("sold out")
        return f"order {number}"

    @order.on_success
    async def confirmed(ctx: TaskContext, result: str, number: int, *, fails: bool = False) -> None:
        told.append(("confirmed", ctx["job_id"], result, number, fails))
        raise RuntimeError("the hook itself is broken")

    @order.on_failure
    def refused(ctx: TaskContext, error: Exception, number: int, *, fails: bool = False) -> None:
        told.append(("refused", ctx["job_id"], str(error), number, fails))

    await pool.enqueue("order", (7,), job_id="a")
    await pool.enqueue("order", (8,), {"fails": True}, job_id="b")
    worker = await run_jobs(order)
    assert sorted(told) == [("confirmed", "a", "order 7", 7, False), ("refused", "b", "sold out", 8, True)]
    assert (await record_of(pool, "a")).status is JobStatus.SUCCESS
    assert (await record_of(pool, "b")).status is JobStatus.FAILED
    assert worker.jobs_complete == 1


@pytest.mark.parametrize("how", ["expired", "lost"])
async def test_a_job_that_is_not_run_at_all_has_failed_too(how: str, pool: TaskPool, run_jobs: RunJobs) -> None:
    """`on_failure` is called for what never ran to its end: expired, or its workers were lost."""
    told: list[tuple[str, int]] = []

    @task
    async def order(ctx: TaskContext, number: int) -> None:  # noqa: ARG001
        raise AssertionError("it is not to be run")

    @order.on_failure
    async def refused(ctx: TaskContext, error: Exception, number: int) -> None:  # noqa: ARG001
        told.append((str(error), number))

    if how == "expired":
        await pool.enqueue("order", (7,), job_id="a", expires=0.001)
        while await pool.exists("arq:job:a"):  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.001)
    else:
        await pool.enqueue("order", (7,), job_id="a")
        await pool.set("arq:retry:a", 3)
        await pool.set("arq:lost:a", 2)
        await pool.zadd("arq:queue", {"a": 1.5})
    await run_jobs(order)
    info = await record_of(pool)
    [(error, number)] = told
    assert number == 7
    assert (info.task, info.args) == ("order", (7,))
    if how == "expired":
        assert (info.cause, error) == (FailureCause.EXPIRED, "job expired")
    else:
        assert (info.cause, error) == (FailureCause.LOST_WORKER, "max 3 retries exceeded: its worker was lost")


async def test_a_task_that_goes_on_at_its_deadline_is_given_up(
    pool: TaskPool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported, its slot is free for another job, its try has failed, and what it returns later is ignored."""
    monkeypatch.setattr(deadlines, "PATIENCE", 0.02)
    free = asyncio.Event()

    @task(timeout=0.02, retry=1)
    async def deaf(ctx: TaskContext) -> str:  # noqa: ARG001
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    async def next_one(ctx: TaskContext) -> None:  # noqa: ARG001
        free.set()

    worker = Worker(
        [deaf, next_one], redis_settings=get_redis_settings(), max_jobs=1, burst=True, handle_signals=False,
        allow_no_persistence=True,
    )  # fmt: skip
    worker.functions = {name.rpartition(".")[2]: function for name, function in worker.functions.items()}
    await pool.enqueue("deaf", job_id="a")
    await pool.enqueue("next_one", job_id="b")
    async with asyncio.timeout(20):
        await worker.async_run()
        await worker.close()
    info = await record_of(pool)
    assert (info.status, info.cause, info.tries) == (JobStatus.FAILED, FailureCause.TIMEOUT, 1)
    assert (await record_of(pool, "b")).status is JobStatus.SUCCESS
    assert "goes on although it is cancelled" in caplog.text
    assert (worker.jobs_complete, worker.jobs_failed) == (2, 1)


async def test_a_retry_with_a_reason_says_so(
    pool: TaskPool, run_jobs: RunJobs, caplog: pytest.LogCaptureFixture
) -> None:
    """`raise Retry from error` waits as long as it says, and the log and the attempts name the error."""

    async def asks(ctx: TaskContext) -> str:
        if ctx["job_try"] == 1:
            try:
                raise ConnectionError("429")  # noqa: TRY301
            except ConnectionError as error:
                raise Retry(defer=timedelta(0)) from error
        return "done"

    await pool.enqueue("asks", job_id="a")
    await run_jobs(asks)
    info = await record_of(pool)
    assert (info.result, info.tries) == ("done", 2)
    assert [(attempt.outcome, attempt.error) for attempt in info.attempts] == [
        ("failed", "ConnectionError: 429"),
        ("success", None),
    ]
    assert "ConnectionError: 429" in caplog.text
