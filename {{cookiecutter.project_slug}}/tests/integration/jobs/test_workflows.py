"""Chains and groups from their making to their end, on the project's own kind of Redis."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from arq.worker import func

from {{ cookiecutter.__package }}.infrastructure.jobs import (
    DeadLetters,
    FailureCause,
    JobError,
    JobPriority,
    JobRecord,
    JobStatus,
    QueueFull,
    QueueUnavailable,
    Retry,
    TaskPool,
    Worker,
    keys,
    task,
)
from {{ cookiecutter.__package }}.infrastructure.jobs.workflows.client import KEPT, Workflows
from {{ cookiecutter.__package }}.infrastructure.jobs.workflows.records import OnFailure, WorkflowKind
from {{ cookiecutter.__package }}.infrastructure.jobs.workflows.steps import Step
from {{ cookiecutter.__package }}.infrastructure.tasks import get_redis_settings

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs.workflows.records import WorkflowRecord

    from ..conftest import RunJobs

SUCCESS, FAILED, CANCELLED = JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED
PENDING, RUNNING, RETRYING = JobStatus.PENDING, JobStatus.RUNNING, JobStatus.RETRYING
#: Runs of tasks, by the id of the job.
RUNS: Counter[str] = Counter()


async def add(ctx: dict[str, Any], one: int = 0, two: int = 0) -> int:
    RUNS[ctx["job_id"]] += 1
    return one + two


async def fails(ctx: dict[str, Any], *_args: Any) -> int:
    RUNS[ctx["job_id"]] += 1
    raise ValueError("no luck")


async def gather(ctx: dict[str, Any], *args: Any, results: list[Any], **kwargs: Any) -> list[Any]:
    """Give what it was called with."""
    RUNS[ctx["job_id"]] += 1
    return [*args, [repr(result) for result in results], kwargs]


@pytest.fixture
def workflows(pool: TaskPool, monkeypatch: pytest.MonkeyPatch) -> Workflows:
    """Give workflows whose tasks are names."""
    monkeypatch.setattr(pool, "registry", None)
    RUNS.clear()
    return Workflows(pool)


async def record_of(workflows: Workflows, workflow_id: str) -> WorkflowRecord:
    record = await workflows.get(workflow_id)
    assert record is not None
    return record


def statuses(record: WorkflowRecord) -> list[JobStatus]:
    """Give the status of each job, the callback's last."""
    return [job.status for job in (*record.jobs, *([record.callback] if record.callback else []))]


async def job_of(pool: TaskPool, record: WorkflowRecord, number: int) -> JobRecord:
    """Give what is known of a job by itself, which agrees with what its workflow says."""
    job = (*record.jobs, record.callback)[number]
    assert job
    found = await pool.record(job.job_id)
    assert found is not None
    assert (found.task, found.status) == (job.task, job.status)
    return found


async def ended_well(pool: TaskPool, record: WorkflowRecord) -> None:
    """See that nothing is left of a workflow but what is known of it, and that this expires."""
    assert record.finish_time
    assert record.create_time
    assert record.finish_time >= record.create_time
    assert [key async for key in pool.scan_iter(match=keys.job("*"))] == []
    assert await pool.zcard(keys.queue()) == 0
    assert not await pool.exists(keys.ABORTS)
    for key in (keys.workflow(record.workflow_id), keys.workflow_values(record.workflow_id)):
        if await pool.exists(key):
            assert KEPT - 60 < await pool.ttl(key) <= KEPT
    assert all(count == 1 for count in RUNS.values()), RUNS


# Chains


async def test_a_chain_runs_its_steps_in_order(pool: TaskPool, workflows: Workflows, run_jobs: RunJobs) -> None:
    """One after the other, and the last result is the chain's; meanwhile each waiting step is known as pending."""
    order: list[str] = []

    async def notes(ctx: dict[str, Any], name: str) -> str:
        order.append(name)
        record = await record_of(workflows, workflow_id)
        first = len(order) - 1
        assert statuses(record) == [SUCCESS] * first + [RUNNING] + [PENDING] * (2 - first)
        assert (record.status, record.total, record.done, record.failed) == (RUNNING, 3, first, 0)
        assert ctx["job_id"] == record.jobs[first].job_id
        return name

    workflow_id = await workflows.chain([("notes", (name,)) for name in "abc"])
    record = await record_of(workflows, workflow_id)
    assert (record.kind, record.status, record.finish_time) == (WorkflowKind.CHAIN, PENDING, None)
    assert await pool.zrange(keys.queue(), 0, -1) == [record.jobs[0].job_id.encode()]
    assert (await job_of(pool, record, 2)).args == ("c",)
    assert await pool.ttl(keys.workflow(workflow_id)) == -1
    await run_jobs(notes)
    record = await record_of(workflows, workflow_id)
    assert (order, record.status, record.result, record.error) == (["a", "b", "c"], SUCCESS, "c", None)
    assert statuses(record) == [SUCCESS] * 3
    await ended_well(pool, record)


@pytest.mark.parametrize("keep_result", [0, 3600])
async def test_a_step_takes_the_result_of_the_one_before(
    keep_result: int, pool: TaskPool, workflows: Workflows, run_jobs: RunJobs
) -> None:
    """It is the first argument, where that is asked for, also where results are not kept; a step may say otherwise."""
    one = await workflows.chain([("add", (1, 2)), ("add", (10,)), Step("add", (), {"two": 100})], pass_result=True)
    two = await workflows.chain(
        [("add", (1, 2)), Step("add", (10,), pass_result=True), ("add", (7,)), Step("add", pass_result=True)]
    )
    other = await workflows.chain([("add", (1,)), Step("add", (5,), pass_result=False)], pass_result=True)
    await run_jobs(add, keep_result=keep_result)
    records = [await record_of(workflows, workflow_id) for workflow_id in (one, two, other)]
    assert [record.result for record in records] == [113, 7, 5]
    if keep_result:
        assert (await job_of(pool, records[0], 1)).args == (3, 10)
        assert (await job_of(pool, records[1], 2)).args == (7,)
    else:
        assert await pool.record(records[0].jobs[0].job_id) is None
    for record in records:
        await ended_well(pool, record)


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_chain_stops_where_a_step_fails(
    number: int, pool: TaskPool, workflows: Workflows, run_jobs: RunJobs
) -> None:
    """The rest never starts, is recorded as cancelled, and says which step failed and why, as does the chain."""
    steps = [("add", (1,))] * 3
    steps[number] = ("fails", (1,))
    workflow_id = await workflows.chain(steps, pass_result=True)
    await run_jobs(add, fails, max_tries=1)
    record = await record_of(workflows, workflow_id)
    assert statuses(record) == [SUCCESS] * number + [FAILED] + [CANCELLED] * (2 - number)
    assert (record.status, record.result) == (FAILED, None)
    culprit = record.jobs[number].job_id
    assert record.error == f"step {number + 1} of 3, job {culprit}: fails failed: ValueError: no luck"
    for later in range(number + 1, 3):
        job = await job_of(pool, record, later)
        assert job.error == f"CancelledError: {record.error}"
        assert (job.tries, job.start_time) == (0, None)
    assert len(RUNS) == number + 1
    await ended_well(pool, record)


async def test_only_the_last_try_of_a_step_counts(workflows: Workflows, run_jobs: RunJobs) -> None:
    """While a step is retried, the chain waits; its failures but the last one stop nothing."""
    seen: list[JobStatus] = []

    async def flaky(ctx: dict[str, Any]) -> int:
        record = await record_of(workflows, workflow_id)
        seen.append(record.jobs[1].status)
        if ctx["job_try"] < 3:
            raise Retry(defer=0) if ctx["job_try"] == 1 else ValueError("not yet")
        return int(ctx["job_try"])

    workflow_id = await workflows.chain(["flaky", "add"], pass_result=True)
    await run_jobs(flaky, add)
    assert seen == [PENDING] * 3
    assert (await record_of(workflows, workflow_id)).result == 3


async def test_a_step_may_start_a_chain(pool: TaskPool, workflows: Workflows, run_jobs: RunJobs) -> None:
    """A workflow made inside a step is one of its own."""

    async def starts(ctx: dict[str, Any]) -> str:
        return await Workflows(ctx["redis"]).chain([("add", (1,)), ("add", (2,))], pass_result=True)

    outer = await workflows.chain(["starts", ("fails", ())])
    await run_jobs(starts, add, fails, max_tries=1)
    inner = (await job_of(pool, await record_of(workflows, outer), 0)).result
    assert (await record_of(workflows, outer)).status is FAILED
    assert (await record_of(workflows, inner)).result == 3


async def test_steps_keep_queue_and_priority(pool: TaskPool, workflows: Workflows, run_jobs: RunJobs) -> None:
    """Each step has its own, or that of the chain; a callback too."""
    low, high = JobPriority.LOW, JobPriority.HIGH
    chain = await workflows.chain(
        [("add", ()), Step("add", queue="mail"), Step("add", priority=high)], queue="slow", priority=low
    )
    group = await workflows.group(["add"], callback=Step("gather", queue="mail", priority=high), queue="slow")
    found = [await job_of(pool, await record_of(workflows, chain), number) for number in range(3)]
    found += [await job_of(pool, await record_of(workflows, group), number) for number in range(2)]
    assert [(job.queue, job.priority) for job in found] == [
        ("slow", low),
        ("mail", low),
        ("slow", high),
        ("slow", JobPriority.NORMAL),
        ("mail", high),
    ]
    await run_jobs(add, gather, queues=["slow", "mail"])
    for workflow_id in (chain, group):
        assert (await record_of(workflows, workflow_id)).status is SUCCESS


# Groups


async def test_a_callback_gets_the_results_in_order(pool: TaskPool, workflows: Workflows, run_jobs: RunJobs) -> None:
    """Whichever member ends last, results stand in the members' order; the callback's result is the group's."""
    gates = [asyncio.Event() for _ in range(4)]
    gates[3].set()

    async def waits(ctx: dict[str, Any], number: int) -> int:  # noqa: ARG001
        await gates[number].wait()
        if number:
            gates[number - 1].set()
        return number

    workflow_id = await workflows.group(
        [("waits", (number,)) for number in range(4)],
        callback="gather",
        callback_args=("first",),
        callback_kwargs={"more": 1},
    )
    assert (await record_of(workflows, workflow_id)).status is PENDING
    await run_jobs(waits, gather)
    record = await record_of(workflows, workflow_id)
    assert (record.status, record.total, record.done) == (SUCCESS, 4, 4)
    assert record.result == ["first", ["0", "1", "2", "3"], {"more": 1}]
    assert (await job_of(pool, record, 4)).kwargs == {"results": [0, 1, 2, 3], "more": 1}
    await ended_well(pool, record)


@pytest.mark.parametrize("keep_result", [0, 3600])
async def test_a_group_without_a_callback_gives_the_results(
    keep_result: int, pool: TaskPool, workflows: Workflows, run_jobs: RunJobs
) -> None:
    """They are the group's result, in order, for an hour also where results of jobs are not kept."""
    workflow_id = await workflows.group([("add", (number,)) for number in range(5)])
    await run_jobs(add, keep_result=keep_result)
    record = await record_of(workflows, workflow_id)
    assert (record.status, record.result) == (SUCCESS, [0, 1, 2, 3, 4])
    await ended_well(pool, record)


async def test_a_group_that_fails(pool: TaskPool, workflows: Workflows, run_jobs: RunJobs) -> None:
    """By default all members run, the callback is cancelled, and the group tells which member failed first."""
    members = [("add", (1,)), ("fails", ()), ("add", (2,)), ("fails", ())]
    workflow_id = await workflows.group(members, callback="gather")
    await run_jobs(add, fails, gather, max_tries=1, max_jobs=1)
    record = await record_of(workflows, workflow_id)
    assert statuses(record) == [SUCCESS, FAILED, SUCCESS, FAILED, CANCELLED]
    assert (record.status, record.done, record.failed, record.cancelled, record.result) == (FAILED, 2, 2, 0, None)
    assert record.error == f"member 2 of 4, job {record.jobs[1].job_id}: fails failed: ValueError: no luck"
    assert (await job_of(pool, record, 4)).error == f"CancelledError: {record.error}"
    await ended_well(pool, record)


async def test_a_group_that_stops_at_the_first_failure(pool: TaskPool, workflows: Workflows, run_jobs: RunJobs) -> None:
    """With `cancel`, members that wait are cancelled; those that run go on to their end."""
    failed = asyncio.Event()

    async def goes_on(ctx: dict[str, Any]) -> str:  # noqa: ARG001
        while statuses(await record_of(workflows, workflow_id))[1] is not FAILED:
            await failed.wait()
        return "ended well"

    async def fails_beside(ctx: dict[str, Any]) -> None:
        failed.set()
        await fails(ctx)

    members: list[Any] = ["goes_on", "fails_beside", *[("add", (1,))] * 600]
    workflow_id = await workflows.group(members, callback="gather", on_failure="cancel")
    await run_jobs(goes_on, func(fails_beside, max_tries=1), add, gather, max_jobs=2)
    record = await record_of(workflows, workflow_id)
    assert statuses(record) == [SUCCESS, FAILED, *[CANCELLED] * 601]
    assert (record.status, record.done, record.failed, record.cancelled) == (FAILED, 1, 1, 600)
    assert (await job_of(pool, record, 601)).error == f"CancelledError: {record.error}"
    assert len(RUNS) == 1
    await ended_well(pool, record)


async def test_a_group_that_goes_on(pool: TaskPool, workflows: Workflows, run_jobs: RunJobs) -> None:
    """With `continue`, the callback runs, and finds exceptions where members have failed or were cancelled."""

    async def lock(ctx: dict[str, Any]) -> Any:  # noqa: ARG001
        return asyncio.Lock()

    members = [("add", (1,)), ("fails", ()), ("add", (2,)), ("lock", ()), ("nobody", ()), ("add", (3,))]
    one = await workflows.group(members, callback="gather", on_failure=OnFailure.CONTINUE)
    two = await workflows.group(["fails", ("add", (2,))], on_failure="continue")
    record = await record_of(workflows, one)
    assert await pool.cancel(record.jobs[2].job_id)
    await pool.set(keys.job(record.jobs[5].job_id), b"\xc1")  # damaged
    await pool.set(keys.unknown(record.jobs[4].job_id), 1)  # since 1970
    await run_jobs(add, fails, lock, gather, max_tries=1)
    record = await record_of(workflows, one)
    assert statuses(record) == [SUCCESS, FAILED, CANCELLED, FAILED, FAILED, FAILED, SUCCESS]
    assert (record.status, record.error) == (SUCCESS, None)
    (results, _) = record.result
    assert results[:3] == ["1", "ValueError('no luck')", "CancelledError()"]
    assert results[3].startswith("JobError('unable to serialize result')")
    assert results[4].startswith("JobExecutionFailed(")
    assert results[5].startswith("DeserializationError(")
    await ended_well(pool, record)
    record = await record_of(workflows, two)
    assert record.status is SUCCESS
    assert [repr(result) for result in record.result] == ["ValueError('no luck')", "2"]


async def test_a_callback_that_fails(pool: TaskPool, workflows: Workflows, run_jobs: RunJobs) -> None:
    """Then the group has failed, though its members have not."""

    async def complains(ctx: dict[str, Any], results: list[int]) -> None:  # noqa: ARG001
        raise ValueError(f"{results} is not enough")

    workflow_id = await workflows.group([("add", (1,))], callback="complains")
    await run_jobs(add, complains, max_tries=2)
    record = await record_of(workflows, workflow_id)
    assert statuses(record) == [SUCCESS, FAILED]
    callback = record.callback
    assert callback
    assert (record.status, record.done, record.failed) == (FAILED, 1, 0)
    assert record.error == f"callback, job {callback.job_id}: complains failed: ValueError: [1] is not enough"
    await ended_well(pool, record)


async def test_many_members_on_several_workers(pool: TaskPool, workflows: Workflows, run_jobs: RunJobs) -> None:
    """A thousand members run once each, and one callback sees all of their results in order."""
    workflow_id = await workflows.group([("add", (number,)) for number in range(1000)], callback="gather")
    record = await record_of(workflows, workflow_id)
    assert len({job.job_id for job in record.jobs}) == 1000
    # A worker ends when the queue is empty: then the members that are left run elsewhere, and the callback with them.
    await asyncio.gather(*[run_jobs(add, gather, max_jobs=20) for _ in range(4)])
    record = await record_of(workflows, workflow_id)
    assert record.result == [[str(number) for number in range(1000)], {}]
    assert len(RUNS) == 1001
    await ended_well(pool, record)


# Ends that are no task's doing


@pytest.mark.parametrize("way", ["gone", "damaged", "unknown", "lost", "unstorable", "taken", "unreadable"])
async def test_whatever_ends_a_step_stops_the_chain(
    way: str, pool: TaskPool, workflows: Workflows, run_jobs: RunJobs
) -> None:
    """A payload that is gone or damaged, a task nobody knows, lost workers, a result that is not stored or is gone."""

    async def lock(ctx: dict[str, Any]) -> Any:  # noqa: ARG001
        return asyncio.Lock()

    workflow_id = await workflows.chain(
        [("lock" if way == "unstorable" else "nobody" if way == "unknown" else "add", ()), ("add", ()), ("add", ())],
        pass_result=True,
    )
    job_ids = [job.job_id for job in (await record_of(workflows, workflow_id)).jobs]
    number = 0
    if way == "gone":
        await pool.delete(keys.job(job_ids[0]))
    if way == "damaged":
        await pool.set(keys.job(job_ids[0]), b"\xc1")
    if way == "unknown":
        await pool.set(keys.unknown(job_ids[0]), 1)  # since 1970
    if way == "lost":
        await pool.set(keys.lost(job_ids[0]), 3)
        await pool.set(keys.tries(job_ids[0]), 3)
    if way == "taken":
        await run_jobs(add, max_burst_jobs=1)
        await pool.delete(keys.workflow_values(workflow_id))
        number = 1
    if way == "unreadable":
        await run_jobs(add, max_burst_jobs=1)
        client: Any = pool
        await client.hset(keys.workflow_values(workflow_id), "0", b"\xc1")
        number = 1
    await run_jobs(add, lock, keep_result=0)
    record = await record_of(workflows, workflow_id)
    assert statuses(record) == [SUCCESS] * number + [FAILED] + [CANCELLED] * (2 - number)
    assert record.status is FAILED
    assert record.error
    assert record.error.startswith(f"step {number + 1} of 3, job {job_ids[number]}: ")
    await ended_well(pool, record)


async def test_a_replayed_step_is_a_job_of_its_own(pool: TaskPool, workflows: Workflows, run_jobs: RunJobs) -> None:
    """It runs with what the step had taken from the one before; the chain has ended, and stays so."""
    workflow_id = await workflows.chain([("add", (1, 2)), ("fails", (5,)), ("add", ())], pass_result=True)
    await run_jobs(add, fails, max_tries=1)
    before = await record_of(workflows, workflow_id)
    letter = before.jobs[1].job_id
    assert (await DeadLetters(pool).get(letter)).args == (3, 5)
    job_id = await DeadLetters(pool).replay(letter, task="add")
    await run_jobs(add)
    replay = await pool.record(job_id)
    assert replay
    assert (replay.result, replay.replay_of) == (8, letter)
    assert await record_of(workflows, workflow_id) == before


async def test_a_step_whose_worker_was_lost_has_its_arguments(
    pool: TaskPool, workflows: Workflows, run_jobs: RunJobs
) -> None:
    """A dead letter holds what the step would have taken, also where it was never started again."""
    workflow_id = await workflows.chain([("add", (1, 2)), ("add", (5,))], pass_result=True)
    await run_jobs(add, max_burst_jobs=1)
    step = (await record_of(workflows, workflow_id)).jobs[1].job_id
    await pool.set(keys.lost(step), 3)
    await pool.set(keys.tries(step), 3)
    await run_jobs(add)
    letter = await DeadLetters(pool).get(step)
    assert (letter.cause, letter.args) == (FailureCause.LOST_WORKER, (3, 5))


# Waiting, and what is known


async def test_waiting_for_a_workflow(workflows: Workflows) -> None:
    """Whoever waits is woken at the end; an id that nobody knows is answered at once, and patience has its limit."""
    ended = asyncio.Event()

    async def hangs(ctx: dict[str, Any]) -> str:  # noqa: ARG001
        await ended.wait()
        return "done"

    worker = Worker(
        [func(hangs, name="hangs")],
        redis_settings=get_redis_settings(),
        handle_signals=False,
        allow_no_persistence=True,
    )
    running = asyncio.create_task(worker.async_run())
    try:
        workflow_id = await workflows.chain(["hangs", "hangs"])
        with pytest.raises(TimeoutError):
            await workflows.wait(workflow_id, timeout=0.05)
        waiting = asyncio.create_task(workflows.wait(workflow_id, timeout=60))
        ended.set()
        record = await waiting
        assert record is not None
        assert (record.status, record.result) == (SUCCESS, "done")
        assert await workflows.wait(workflow_id) == record
    finally:
        await worker.close()
        await asyncio.gather(running, return_exceptions=True)
    assert await workflows.wait("nobody knows") is None
    assert await workflows.get("nobody knows") is None


async def test_a_job_that_ends_while_it_is_looked_at(
    pool: TaskPool, workflows: Workflows, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is as it was or as it is, never as if it waited again; the workflow too."""
    workflow_id = await workflows.chain(["add", "add"])
    read: Any = pool.hgetall

    async def reads(name: str) -> Any:
        stored = await read(name)
        monkeypatch.setattr(pool, "hgetall", read)
        await run_jobs(add, max_burst_jobs=1)
        return stored

    for expected, status in ([SUCCESS, PENDING], RUNNING), ([SUCCESS, SUCCESS], SUCCESS):
        monkeypatch.setattr(pool, "hgetall", reads)
        record = await record_of(workflows, workflow_id)
        assert ([job.status for job in record.jobs], record.status) == (expected, status)
        assert record == await record_of(workflows, workflow_id)


async def test_a_workflow_is_kept_as_long_as_results(pool: TaskPool, workflows: Workflows, run_jobs: RunJobs) -> None:
    """At least an hour; longer where a job's result is kept longer, for ever if need be."""

    async def long(ctx: dict[str, Any]) -> None: ...

    async def always(ctx: dict[str, Any]) -> None: ...

    one = await workflows.chain(["long", "add"])
    two = await workflows.group(["always", "long", "add"])
    await run_jobs(add, func(long, keep_result=7 * KEPT), func(always, keep_result_forever=True))
    assert 7 * KEPT - 60 < await pool.ttl(keys.workflow(one)) <= 7 * KEPT
    for key in (keys.workflow(two), keys.workflow_values(two)):
        assert await pool.ttl(key) == -1


async def test_a_queue_that_is_full_takes_no_workflow(
    pool: TaskPool, workflows: Workflows, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Members count, and are refused together; steps that wait do not, and are never refused later."""
    monkeypatch.setattr(pool, "max_queue_length", 3)
    with pytest.raises(QueueFull) as caught:
        await workflows.group(["add"] * 4)
    assert caught.value.queue == "default"
    with pytest.raises(QueueFull):
        await workflows.group(["add"] * 1001)
    assert await pool.keys() == []
    group = await workflows.group(["add", "add"], callback="gather")
    chain = await workflows.chain([("add", ()), Step("add", queue="mail"), ("add", ())])
    with pytest.raises(QueueFull):
        await workflows.chain(["add"])
    await run_jobs(add, gather, queues=["default", "mail"])
    for workflow_id in (group, chain):
        assert (await record_of(workflows, workflow_id)).status is SUCCESS


async def test_a_full_redis_takes_no_large_group(pool: TaskPool, workflows: Workflows) -> None:
    """The error says why, without what it was to store."""
    await pool.config_set("maxmemory", 1)
    try:
        with pytest.raises(JobError, match=r"^group not enqueued: Redis refused: .*maxmemory") as caught:
            await workflows.group([("add", (1, 2))] * 501)
    finally:
        await pool.config_set("maxmemory", 0)
    assert "arq:job" not in str(caught.value)
    assert await pool.keys() == []


async def test_a_large_group_that_is_never_finished_leaves_nothing(
    pool: TaskPool, workflows: Workflows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first parts expire by themselves; when they have, the last one is refused."""

    async def too_late(**options: Any) -> Any:
        for key in await pool.keys():
            assert 0 < await pool.ttl(key) <= 600
        await pool.flushall()
        return await create(**options)

    create = workflows._create
    monkeypatch.setattr(workflows, "_create", too_late)
    with pytest.raises(QueueUnavailable, match="took more than 600 s"):
        await workflows.group(["add"] * 1001)
    assert await pool.keys() == []


async def test_limits_and_workflows(pool: TaskPool, workflows: Workflows, run_jobs: RunJobs) -> None:
    """Members that wait for their turn are parked as any job, and cancelled as any member."""
    running: list[int] = []

    @task(concurrency=1)
    async def single(ctx: dict[str, Any], number: int) -> int:  # noqa: ARG001
        running.append(number)
        assert len(running) == 1
        await asyncio.sleep(0)
        running.remove(number)
        if number == 5:
            raise ValueError("the fifth")
        return number

    one = await workflows.group([("single", (number,)) for number in (1, 2, 3)], callback="gather")
    await run_jobs(single, gather)
    assert (await record_of(workflows, one)).result == [["1", "2", "3"], {}]
    two = await workflows.group([("single", (5,))] * 5, on_failure="cancel")
    await run_jobs(single, max_tries=1)
    record = await record_of(workflows, two)
    assert (record.failed, record.cancelled) == (1, 4)
    assert await pool.exists(keys.parked("single"), keys.homes("single"), keys.places("single")) == 0
