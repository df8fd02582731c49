"""Urgent jobs come first, and none waits for ever."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    JobPriority,
    JobStatus,
    RetryConfig,
    TaskContext,
    TaskRegistry,
    keys,
    task,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.errors import InvalidPolicyError
from {{ cookiecutter.__package }}.infrastructure.jobs.running.served import AGED

from .scripts.calls import now_of

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from ..conftest import RunJobs

LOW, NORMAL, HIGH, CRITICAL = JobPriority


class Notes:
    """A task that writes down what it was given, in the order of the starts."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def note(self, ctx: TaskContext, what: Any) -> None:  # noqa: ARG002 - every task gets the context
        self.seen.append(what)


async def moment_later(pool: TaskPool) -> None:
    """Wait until Redis's clock has moved on, by which jobs are due, in whole milliseconds."""
    began = await now_of(pool)
    while await now_of(pool) == began:
        pass


async def test_a_critical_job_starts_before_ten_thousand_normal_ones(pool: TaskPool, run_jobs: RunJobs) -> None:
    """Although it was enqueued last."""
    notes = Notes()
    await pool.enqueue_many("note", ({"what": number} for number in range(10_000)))
    await pool.enqueue("note", ("critical",), priority=CRITICAL)
    await run_jobs(notes.note, max_jobs=1, max_burst_jobs=2)
    assert notes.seen == ["critical", 0]


async def test_the_most_urgent_job_starts_first(pool: TaskPool, run_jobs: RunJobs) -> None:
    """In every queue, and across the queues that a worker serves; jobs of one priority keep their order."""
    notes = Notes()
    for priority in (LOW, NORMAL, CRITICAL, HIGH):
        for queue in ("reports", "emails"):
            for number in range(2):
                await pool.enqueue("note", ((priority, queue, number),), priority=priority, queue=queue)
    await run_jobs(notes.note, queues=["emails", "reports"])
    expected = [
        (priority, queue, number)
        for priority in (CRITICAL, HIGH, NORMAL, LOW)
        for queue in ("emails", "reports")
        for number in range(2)
    ]
    by_age = expected[-1 - len(expected) // AGED :]
    assert sorted(notes.seen) == sorted(expected)
    assert notes.seen[:9] == expected[:9]
    assert len(by_age) == 2


async def test_a_low_job_starts_under_endless_urgent_ones(pool: TaskPool, run_jobs: RunJobs) -> None:
    """One start in ten goes to the job that has been due longest."""
    notes = Notes()
    await pool.enqueue("note", ("low",), priority=LOW)
    await moment_later(pool)

    async def endless(ctx: TaskContext, what: int) -> None:
        await notes.note(ctx, what)
        await ctx["redis"].enqueue("endless", (what + 1,), priority=HIGH)

    for _ in range(3):
        await pool.enqueue("endless", (0,), priority=HIGH)
    await run_jobs(notes.note, endless, max_jobs=1, max_burst_jobs=AGED)
    assert notes.seen.index("low") == AGED - 1


async def test_no_queue_starves_behind_another(pool: TaskPool, run_jobs: RunJobs) -> None:
    """The job that has been due longest may be one of a queue that is named later."""
    notes = Notes()
    await pool.enqueue("note", ("late",), queue="reports")
    await moment_later(pool)
    await pool.enqueue_many("note", ({"what": number} for number in range(100)), queue="emails")
    await run_jobs(notes.note, queues=["emails", "reports"], max_jobs=1, max_burst_jobs=AGED)
    assert notes.seen[-1] == "late"


async def test_a_priority_survives_delay_and_retry(pool: TaskPool, run_jobs: RunJobs) -> None:
    """A job that comes due, and one that comes again, stands before those that are less urgent."""
    notes = Notes()

    @task(retry=RetryConfig(max_tries=2, delay=timedelta(0)))
    async def flaky(ctx: TaskContext) -> None:
        await notes.note(ctx, f"try {ctx['job_try']}")
        if ctx["job_try"] == 1:
            await ctx["redis"].enqueue_many("note", [{"what": "normal"}] * 100)
            raise ValueError("not yet")

    job_id = await pool.enqueue("flaky", priority=HIGH, defer_by=0.05)
    assert job_id
    record = await pool.record(job_id)
    assert record
    assert (record.status, record.priority, record.queue) == (JobStatus.SCHEDULED, HIGH, "default")
    await run_jobs(flaky, notes.note, max_jobs=1)
    # The next job may start before it is recorded that this try has failed, but not a hundred.
    assert notes.seen[0] == "try 1"
    assert notes.seen.index("try 2") < len(notes.seen) // 2
    ended = await pool.record(job_id)
    assert ended
    assert (ended.status, ended.priority, ended.queue) == (JobStatus.SUCCESS, HIGH, "default")


async def test_a_task_has_a_priority_of_its_own(pool: TaskPool) -> None:
    """Unless the call says otherwise; LOW, whose number is 0, is a priority like the others."""

    @task(name="idle", priority=LOW, queue="reports")
    async def idle(ctx: TaskContext) -> None: ...

    pool.registry = TaskRegistry([idle])
    own, other = pool.prepare("idle"), pool.prepare("idle", priority=CRITICAL)
    assert own.queue_key == keys.queue("reports", LOW)
    assert other.queue_key == keys.queue("reports", CRITICAL)


async def test_a_number_says_the_same(pool: TaskPool) -> None:
    """As a caller from elsewhere may have it."""
    assert pool.prepare("idle", priority=8).queue_key == keys.queue("default", HIGH)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [7, "high", True, -1, 5.0])
async def test_there_are_four_priorities(pool: TaskPool, wrong: Any) -> None:
    """Anything else is refused with the choice there is."""
    with pytest.raises(InvalidPolicyError, match=r"LOW \(0\), NORMAL \(5\), HIGH \(8\), CRITICAL \(10\)"):
        pool.prepare("idle", priority=wrong)


async def test_normal_jobs_stand_where_arq_looks_for_them(pool: TaskPool) -> None:
    """So that its own clients and workers see them."""
    await pool.enqueue("idle", job_id="normal")
    await pool.enqueue("idle", job_id="urgent", priority=HIGH)
    assert await pool.zrange("arq:queue", 0, -1) == [b"normal"]
    assert await pool.zrange("arq:queue@8", 0, -1) == [b"urgent"]
