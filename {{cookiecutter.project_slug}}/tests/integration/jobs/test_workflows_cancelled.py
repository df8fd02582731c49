"""Workflows that somebody cancels, as a whole or one job of them, at each stage; and jobs cancelled by the hundred."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import JobHistory, JobStatus, Queues, keys
from {{ cookiecutter.__package }}.infrastructure.jobs.cancelling import cancel_jobs
from {{ cookiecutter.__package }}.infrastructure.jobs.running import attempts, commits
from {{ cookiecutter.__package }}.infrastructure.jobs.running.claims import Claimer
from {{ cookiecutter.__package }}.infrastructure.jobs.running.served import ServedQueues
from {{ cookiecutter.__package }}.infrastructure.jobs.workflows import client as workflows_module
from {{ cookiecutter.__package }}.infrastructure.jobs.workflows.client import Workflows
from {{ cookiecutter.__package }}.infrastructure.jobs.workflows.steps import Step

from .test_workflows import record_of, statuses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool
    from {{ cookiecutter.__package }}.infrastructure.jobs.workflows.parts import Part
    from {{ cookiecutter.__package }}.infrastructure.jobs.workflows.records import WorkflowRecord

    from ..conftest import RunJobs

SUCCESS, FAILED, CANCELLED = JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED
PENDING, RUNNING = JobStatus.PENDING, JobStatus.RUNNING
WISH = "the workflow was cancelled"


class Stage:
    """A worker whose task waits to be let go, and notes its runs."""

    def __init__(self, run_jobs: RunJobs) -> None:
        self._run_jobs = run_jobs
        self.runs: list[str] = []
        self.go = asyncio.Event()
        self._started = asyncio.Event()

    @asynccontextmanager
    async def running(self, **settings: Any) -> AsyncIterator[None]:
        """Run the worker until nothing is left to do; the block begins when a job hangs."""

        async def hangs(ctx: dict[str, Any]) -> str:
            self.runs.append(ctx["job_id"])
            self._started.set()
            await self.go.wait()
            return "done"

        async def works(ctx: dict[str, Any], **_kwargs: Any) -> None:
            self.runs.append(ctx["job_id"])

        async def fails(ctx: dict[str, Any]) -> None:
            self.runs.append(ctx["job_id"])
            raise ValueError("no luck")

        working = asyncio.create_task(self._run_jobs(hangs, works, fails, **settings))
        await self._started.wait()
        try:
            yield
        finally:
            self.go.set()
            await working


@pytest.fixture
def stage(run_jobs: RunJobs) -> Stage:
    return Stage(run_jobs)


@pytest.fixture
def workflows(pool: TaskPool, monkeypatch: pytest.MonkeyPatch) -> Workflows:
    """Give workflows whose tasks are names."""
    monkeypatch.setattr(pool, "registry", None)
    return Workflows(pool)


async def nothing_is_left(pool: TaskPool) -> None:
    """See that no job waits or runs, and no wish is left."""
    assert [key async for key in pool.scan_iter(match=keys.job("*"))] == []
    assert await pool.exists(keys.queue(), keys.ABORTS) == 0


async def errors(pool: TaskPool, record: WorkflowRecord) -> set[str | None]:
    """Give what the cancelled jobs of a workflow say."""
    jobs = [job for job in (*record.jobs, record.callback) if job and job.status is CANCELLED]
    records = [await pool.record(job.job_id) for job in jobs]
    assert [found and found.status for found in records] == [CANCELLED] * len(jobs)
    return {found.error for found in records if found}


# As a whole


@pytest.mark.parametrize("terminate", [False, True])
async def test_a_workflow_that_has_not_begun(
    terminate: bool,  # noqa: FBT001
    pool: TaskPool,
    workflows: Workflows,
) -> None:
    """It is over at once, without any worker: each job is recorded, and says why."""
    chain = await workflows.chain(["works"] * 3)
    group = await workflows.group(["works"] * 700, callback="works")
    for workflow_id in (chain, group):
        assert await workflows.cancel(workflow_id, terminate=terminate)
        record = await record_of(workflows, workflow_id)
        assert set(statuses(record)) == {CANCELLED}
        assert (record.status, record.error, record.done, record.failed) == (CANCELLED, WISH, 0, 0)
        assert record.cancelled == record.total
        assert record.finish_time
        assert await errors(pool, record) == {f"CancelledError: {WISH}"}
        assert not await workflows.cancel(workflow_id, terminate=terminate)
    assert (await JobHistory(pool).counts())[CANCELLED] == 704
    await nothing_is_left(pool)


async def test_a_chain_whose_step_runs(pool: TaskPool, workflows: Workflows, stage: Stage) -> None:
    """The step goes on to its end, the rest is cancelled at once; the chain ends with the step."""
    workflow_id = await workflows.chain(["works", "hangs", "works", "works"])
    async with stage.running():
        assert await workflows.cancel(workflow_id)
        record = await record_of(workflows, workflow_id)
        assert statuses(record) == [SUCCESS, RUNNING, CANCELLED, CANCELLED]
        assert (record.status, record.error, record.finish_time) == (RUNNING, WISH, None)
        assert not await workflows.cancel(workflow_id)  # what is left runs, and may go on
    record = await record_of(workflows, workflow_id)
    assert statuses(record) == [SUCCESS, SUCCESS, CANCELLED, CANCELLED]
    assert (record.status, record.error, record.result) == (CANCELLED, WISH, None)
    assert len(stage.runs) == 2
    await nothing_is_left(pool)


async def test_a_chain_whose_step_is_ended(pool: TaskPool, workflows: Workflows, stage: Stage) -> None:
    """With `terminate`, the step that runs is cancelled in its worker, too."""
    workflow_id = await workflows.chain(["hangs", "works"])
    async with stage.running(poll_delay=0.05):
        waiting = asyncio.create_task(workflows.wait(workflow_id, timeout=60))
        assert await workflows.cancel(workflow_id, terminate=True)
        record = await waiting
        assert record
        assert (statuses(record), record.status) == ([CANCELLED, CANCELLED], CANCELLED)
    assert len(stage.runs) == 1
    await nothing_is_left(pool)


async def test_the_last_step_of_a_chain_runs(workflows: Workflows, stage: Stage) -> None:
    """Without `terminate` there is nothing to cancel, and the chain succeeds."""
    workflow_id = await workflows.chain(["works", "hangs"])
    async with stage.running():
        assert not await workflows.cancel(workflow_id)
    record = await record_of(workflows, workflow_id)
    assert (record.status, record.result, record.error) == (SUCCESS, "done", None)


async def test_the_wish_comes_too_late(pool: TaskPool, workflows: Workflows, stage: Stage) -> None:
    """A step that ends although it was asked to be cancelled has succeeded, and so has its chain."""
    workflow_id = await workflows.chain(["hangs"])
    async with stage.running(allow_abort_jobs=False):
        assert await workflows.cancel(workflow_id, terminate=True)
    record = await record_of(workflows, workflow_id)
    assert (record.status, record.result, record.error) == (SUCCESS, "done", None)
    await nothing_is_left(pool)


@pytest.mark.parametrize("on_failure", ["fail", "cancel", "continue"])
async def test_a_group_with_members_that_run(
    on_failure: str, pool: TaskPool, workflows: Workflows, stage: Stage
) -> None:
    """Whatever its policy: waiting members and the callback are cancelled, running ones go on, or are ended as well."""
    workflow_id = await workflows.group(["works", "hangs", "works"], callback="works", on_failure=on_failure)
    async with stage.running(max_jobs=1):
        assert await workflows.cancel(workflow_id)
        record = await record_of(workflows, workflow_id)
        assert statuses(record) == [SUCCESS, RUNNING, CANCELLED, CANCELLED]
        assert record.status is RUNNING
        assert await workflows.cancel(workflow_id, terminate=True)
    record = await record_of(workflows, workflow_id)
    assert statuses(record)[1] in {SUCCESS, CANCELLED}
    assert statuses(record)[2:] == [CANCELLED, CANCELLED]
    assert (record.status, record.error) == (CANCELLED, WISH)
    assert len(stage.runs) == 2
    await nothing_is_left(pool)


async def test_a_client_that_dies_in_the_middle(
    pool: TaskPool, workflows: Workflows, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has begun a worker ends: no job runs, each is recorded, and says why."""

    async def dies(*_args: Any) -> None:
        raise KeyboardInterrupt

    async def works(ctx: dict[str, Any], **_kwargs: Any) -> None:
        raise AssertionError(ctx["job_id"])

    monkeypatch.setattr(workflows_module, "end_given_up", dies)
    chain = await workflows.chain(["works"] * 3)
    group = await workflows.group(["works"] * 3, callback="works")
    for workflow_id in (chain, group):
        with pytest.raises(KeyboardInterrupt):
            await workflows.cancel(workflow_id)
        record = await record_of(workflows, workflow_id)
        assert (set(statuses(record)), record.status) == ({CANCELLED}, CANCELLED)
    await run_jobs(works)
    for workflow_id in (chain, group):
        assert await errors(pool, await record_of(workflows, workflow_id)) == {f"CancelledError: {WISH}"}
    await nothing_is_left(pool)


async def test_a_step_that_no_worker_would_find(pool: TaskPool, workflows: Workflows, run_jobs: RunJobs) -> None:
    """The worker in which the chain stops records the end of the rest, be its queue paused or served by nobody."""

    async def fails(ctx: dict[str, Any]) -> None:  # noqa: ARG001
        raise ValueError("no luck")

    await Queues(pool).pause("paused")
    workflow_id = await workflows.chain(["fails", Step("fails", queue="paused"), Step("fails", queue="unserved")])
    await run_jobs(fails, max_tries=1)
    record = await record_of(workflows, workflow_id)
    assert (statuses(record), record.status) == ([FAILED, CANCELLED, CANCELLED], FAILED)
    assert await errors(pool, record) == {f"CancelledError: {record.error}"}
    assert [await Queues(pool).length(queue) for queue in ("paused", "unserved")] == [0, 0]
    await nothing_is_left(pool)


async def test_a_worker_that_stops_before_it_has_recorded_them(
    pool: TaskPool, workflows: Workflows, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A given-up job that was claimed, and whose worker was lost then, is still not run by another."""

    async def loses_redis(*_args: Any) -> None:
        raise OSError

    monkeypatch.setattr(commits, "end_given_up", loses_redis)

    async def fails(ctx: dict[str, Any]) -> None:  # noqa: ARG001
        raise ValueError("no luck")

    async def works(ctx: dict[str, Any], **_kwargs: Any) -> None:
        raise AssertionError(ctx["job_id"])

    workflow_id = await workflows.chain(["fails", "works"])
    await run_jobs(fails, max_tries=1, max_burst_jobs=1)
    step = (await record_of(workflows, workflow_id)).jobs[1].job_id
    claimer = Claimer(pool, "lost", lease=60, served=ServedQueues((), first=keys.queue()))
    [claim], _ = await claimer.claim(1, spare_lapsed=False, began=asyncio.get_running_loop().time())
    assert (claim.job_id, claim.special) == (step, "aborted")
    await pool.delete(keys.in_progress(step))
    await pool.zadd(keys.queue(), {step: claim.started - 999.5}, xx=True)
    await run_jobs(works, fails, max_tries=3)
    record = await record_of(workflows, workflow_id)
    assert await errors(pool, record) == {f"CancelledError: {record.error}"}
    await nothing_is_left(pool)


async def test_a_step_that_is_about_to_begin(
    pool: TaskPool, workflows: Workflows, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be ended also while it still takes what the step before has returned."""
    asking = asyncio.Event()

    async def takes(_client: TaskPool, part: Part, args: Any, kwargs: Any, _deserializer: Any) -> Any:
        if part.number:
            asking.set()
            await asyncio.Event().wait()
        return args, kwargs

    async def works(ctx: dict[str, Any], *_args: Any) -> None:
        assert ctx["job_id"].endswith("0")

    monkeypatch.setattr(attempts, "take", takes)
    workflow_id = await workflows.chain(["works", "works"], pass_result=True)
    running = asyncio.create_task(run_jobs(works))
    await asking.wait()
    assert await workflows.cancel(workflow_id, terminate=True)
    await running
    record = await record_of(workflows, workflow_id)
    assert (statuses(record), record.status) == ([SUCCESS, CANCELLED], CANCELLED)
    await nothing_is_left(pool)


# One job of it


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_one_step_of_a_chain(number: int, pool: TaskPool, workflows: Workflows) -> None:
    """Without it the chain cannot go on: all is cancelled at once, and says which step was."""
    workflow_id = await workflows.chain(["works"] * 3)
    job_ids = [job.job_id for job in (await record_of(workflows, workflow_id)).jobs]
    assert await pool.cancel(job_ids[number])
    record = await record_of(workflows, workflow_id)
    assert (statuses(record), record.status) == ([CANCELLED] * 3, CANCELLED)
    assert record.error == f"step {number + 1} of 3, job {job_ids[number]}: works was cancelled"
    assert await errors(pool, record) == {"CancelledError", f"CancelledError: {record.error}"}
    await nothing_is_left(pool)


async def test_a_later_step_of_a_running_chain(pool: TaskPool, workflows: Workflows, stage: Stage) -> None:
    """The step that runs goes on; nothing comes after it."""
    workflow_id = await workflows.chain(["hangs", "works", "works"])
    async with stage.running():
        record = await record_of(workflows, workflow_id)
        assert await cancel_jobs(pool, [record.jobs[2].job_id], reason="too dear") == ["cancelled"]
        assert statuses(await record_of(workflows, workflow_id)) == [RUNNING, CANCELLED, CANCELLED]
    record = await record_of(workflows, workflow_id)
    assert (statuses(record), record.status) == ([SUCCESS, CANCELLED, CANCELLED], CANCELLED)
    assert record.error == f"step 3 of 3, job {record.jobs[2].job_id}: works was cancelled: too dear"
    assert len(stage.runs) == 1
    await nothing_is_left(pool)


async def test_one_member_of_a_group(pool: TaskPool, workflows: Workflows, stage: Stage) -> None:
    """Its policy holds, as if the member had failed."""
    ids = [
        await workflows.group(["works", "works"], callback="works", on_failure=policy)
        for policy in ("fail", "cancel", "continue")
    ]
    for workflow_id in ids:
        assert await pool.cancel((await record_of(workflows, workflow_id)).jobs[0].job_id)
    await workflows.chain(["hangs"])
    async with stage.running():
        pass
    found = [await record_of(workflows, workflow_id) for workflow_id in ids]
    assert [statuses(record) for record in found] == [
        [CANCELLED, SUCCESS, CANCELLED],
        [CANCELLED, CANCELLED, CANCELLED],
        [CANCELLED, SUCCESS, SUCCESS],
    ]
    assert [record.status for record in found] == [CANCELLED, CANCELLED, SUCCESS]
    await nothing_is_left(pool)


async def test_the_callback_of_a_group(pool: TaskPool, workflows: Workflows, stage: Stage) -> None:
    """Its members run all the same."""
    workflow_id = await workflows.group(["works", "hangs"], callback="works", on_failure="continue")
    async with stage.running():
        callback = (await record_of(workflows, workflow_id)).callback
        assert callback
        assert await pool.cancel(callback.job_id)
    record = await record_of(workflows, workflow_id)
    assert (statuses(record), record.status) == ([SUCCESS, SUCCESS, CANCELLED], CANCELLED)
    assert record.error == f"callback, job {callback.job_id}: works was cancelled"
    await nothing_is_left(pool)


# Many jobs


async def test_many_jobs_are_cancelled_in_few_round_trips(pool: TaskPool, stage: Stage) -> None:
    """Two for each 500, and an answer for each job."""
    job_ids = [str(job_id) for job_id in await pool.enqueue_many("works", [{"n": n} for n in range(1200)])]
    await pool.enqueue("hangs", job_id="hangs", defer_by=-1)
    await pool.zadd(keys.queue(), {"hangs": 1})
    async with stage.running(max_jobs=1):
        ended = stage.runs
        waiting = [job_id for job_id in job_ids if job_id not in ended]
        await pool.config_resetstat()
        answers = await cancel_jobs(pool, ["hangs", "nobody", *waiting, waiting[0]], reason="purged")
        stats = await pool.info("commandstats")
        assert stats["cmdstat_evalsha"]["calls"] == 3
        assert answers == ["running", "unknown", *["cancelled"] * len(waiting), "unknown"]
        assert await cancel_jobs(pool, ["hangs"], terminate=True) == ["asked"]
        assert await cancel_jobs(pool, []) == []
    record = await pool.record(waiting[-1])
    assert record
    assert (record.status, record.error) == (CANCELLED, "CancelledError: purged")
