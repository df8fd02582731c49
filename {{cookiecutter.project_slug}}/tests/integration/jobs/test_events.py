"""Waiting for the end of a job: told by an event, and found by the waiter's own look where nobody tells."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import JobStatus, Retry, Worker, codec, events, keys
from {{ cookiecutter.__package }}.infrastructure.jobs.task import as_function

if TYPE_CHECKING:
    from redis.asyncio.client import PubSub

    from {{ cookiecutter.__package }}.infrastructure.jobs import JobRecord, TaskContext, TaskPool
    from {{ cookiecutter.__package }}.infrastructure.jobs.lookup import TaskJob

    from ..conftest import RunJobs

#: arq's own class, from which ours comes: its workers tell nobody when a job has ended.
PlainWorker: Any = Worker.__mro__[2]
#: Seconds between two looks that never come: longer than a test may take.
NEVER = 86_400.0


async def double(ctx: TaskContext, number: int = 0) -> int:  # noqa: ARG001
    return 2 * number


async def subscribers(pool: TaskPool) -> int:
    [(_, number)] = await pool.pubsub_numsub(keys.EVENTS)
    return int(number)


async def until_nobody_listens(pool: TaskPool) -> None:
    """Wait until the server has seen that the connection is closed."""
    async with asyncio.timeout(60):
        while True:
            if await subscribers(pool) == 0:
                return
            await asyncio.sleep(0.01)


class Waiters:
    """Tasks that wait for jobs."""

    def __init__(self, waiting: asyncio.Semaphore) -> None:
        self._waiting = waiting
        self.tasks: list[asyncio.Task[Any]] = []

    async def add(self, *waits: Any) -> None:
        """Start these, and return when all have found that their jobs have not ended, and wait to be told."""
        self.tasks += [asyncio.create_task(wait) for wait in waits]
        async with asyncio.timeout(60):
            for _ in waits:
                await self._waiting.acquire()

    async def ended(self) -> list[Any]:
        async with asyncio.timeout(60):
            return await asyncio.gather(*self.tasks)


@pytest.fixture
def waiters(monkeypatch: pytest.MonkeyPatch) -> Waiters:
    """Give a group of waiters that never look for themselves once they have begun to wait."""
    monkeypatch.setattr(events, "LOOK", NEVER)
    waiting, known = asyncio.Semaphore(0), set[events.End]()
    wait = events.End.wait

    async def seen(end: events.End) -> None:
        if end not in known:
            known.add(end)
            waiting.release()
        await wait(end)

    monkeypatch.setattr(events.End, "wait", seen)
    return Waiters(waiting)


async def wait_for(pool: TaskPool, job_id: str, timeout: float | None = None) -> JobRecord | None:  # noqa: ASYNC109
    job = await pool.job(job_id)
    assert job is not None
    return await job.wait(timeout)


async def test_wait_is_woken_by_the_event(pool: TaskPool, run_jobs: RunJobs, waiters: Waiters) -> None:
    """A waiter that never looks for itself is told, and gives the record of the ended job."""
    await pool.enqueue("double", (21,), job_id="a")
    await waiters.add(wait_for(pool, "a"))
    await run_jobs(double)
    [info] = await waiters.ended()
    assert (info.status, info.result) == (JobStatus.SUCCESS, 42)


async def test_result_is_woken_by_the_event(pool: TaskPool, run_jobs: RunJobs, waiters: Waiters) -> None:
    """So is arq's `Job.result`, however long its `poll_delay` is."""
    job = await pool.enqueue_job("double", 21)
    assert job is not None
    await waiters.add(job.result(poll_delay=NEVER))
    await run_jobs(double)
    assert await waiters.ended() == [42]


async def test_wait_is_woken_by_every_kind_of_end(pool: TaskPool, run_jobs: RunJobs, waiters: Waiters) -> None:
    """A failure, and a job that is cancelled before it runs, are told as well."""

    async def fails(ctx: TaskContext) -> None:  # noqa: ARG001
        raise ValueError("no")

    await pool.enqueue("fails", job_id="fails")
    await pool.enqueue("double", job_id="cancelled", defer_by=3600)
    await waiters.add(wait_for(pool, "fails"), wait_for(pool, "cancelled"))
    assert await pool.cancel("cancelled")
    await run_jobs(fails)
    failed, cancelled = await waiters.ended()
    assert (failed.status, cancelled.status) == (JobStatus.FAILED, JobStatus.CANCELLED)


async def test_wait_is_woken_where_no_result_is_kept(pool: TaskPool, run_jobs: RunJobs, waiters: Waiters) -> None:
    """With `keep_result = 0` a waiter learns that there is nothing any more."""
    await pool.enqueue("double", job_id="a")
    await waiters.add(wait_for(pool, "a"))
    await run_jobs(double, keep_result=0)
    assert await waiters.ended() == [None]


async def test_updates_tell_each_state_of_a_job(pool: TaskPool, run_jobs: RunJobs, waiters: Waiters) -> None:
    """Whoever watches a job is woken by whatever it comes to, from its first start to its end, and by nothing else."""
    seen_running, states = asyncio.Event(), []

    async def fails_once(ctx: TaskContext) -> None:
        await seen_running.wait()
        seen_running.clear()
        if ctx["job_try"] == 1:
            raise Retry(defer=3600)

    async def follow(job: TaskJob) -> None:
        async for record in job.updates():
            states.append((record.status, record.tries, [attempt.outcome for attempt in record.attempts]))
            if record.status is JobStatus.RUNNING:
                seen_running.set()
            if record.status is JobStatus.RETRYING:
                await pool.zadd(keys.queue(), {job.job_id: 1}, xx=True)  # its time has come

    await pool.enqueue("fails_once", job_id="a")
    job = await pool.job("a")
    assert job is not None
    await waiters.add(follow(job))
    await run_jobs(fails_once)
    await waiters.ended()
    assert states == [
        (JobStatus.PENDING, 0, []),
        (JobStatus.RUNNING, 1, ["running"]),
        (JobStatus.RETRYING, 1, ["retry"]),
        (JobStatus.RUNNING, 2, ["retry", "running"]),
        (JobStatus.SUCCESS, 2, ["retry", "success"]),
    ]


async def test_updates_end_where_nothing_is_kept(pool: TaskPool, run_jobs: RunJobs, waiters: Waiters) -> None:
    """The end of a job whose result is not kept is the end of the updates."""

    async def follow(job: TaskJob) -> list[JobStatus]:
        return [record.status async for record in job.updates()]

    await pool.enqueue("double", job_id="a")
    job = await pool.job("a")
    assert job is not None
    await waiters.add(follow(job))
    await run_jobs(double, keep_result=0)
    [states] = await waiters.ended()
    assert states[0] is JobStatus.PENDING
    assert not set(states) & {JobStatus.SUCCESS, JobStatus.FAILED}


async def test_wait_for_a_job_that_has_ended_returns_at_once(
    pool: TaskPool, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was told before somebody waited is found by the first look."""
    monkeypatch.setattr(events, "LOOK", NEVER)
    job = await pool.enqueue_job("double", 21, _job_id="a")
    assert job is not None
    await run_jobs(double)
    info = await wait_for(pool, "a")
    assert info is not None
    assert info.result == 42
    assert await job.result(poll_delay=NEVER) == 42


async def test_many_waiters_share_one_subscription(pool: TaskPool, run_jobs: RunJobs, waiters: Waiters) -> None:
    """Fifty waiters, some for the same job, listen through one connection, and each is told of its own job."""
    for number in range(25):
        await pool.enqueue("double", (number,), job_id=str(number))
    await waiters.add(*[wait_for(pool, str(number % 25)) for number in range(50)])
    assert await subscribers(pool) == 1
    await run_jobs(double, max_jobs=100)
    assert [info.result for info in await waiters.ended()] == [2 * (number % 25) for number in range(50)]


async def test_nothing_stays_subscribed_after_the_last_waiter(
    pool: TaskPool, run_jobs: RunJobs, waiters: Waiters
) -> None:
    """The subscription lasts as long as somebody waits, no longer; the next waiter makes another."""
    for _ in range(2):
        await pool.flushall()
        await pool.enqueue("double", job_id="soon")
        await pool.enqueue("double", job_id="later", defer_by=3600)
        waiters.tasks.clear()
        await waiters.add(wait_for(pool, "soon"), wait_for(pool, "later"))
        await run_jobs(double, max_burst_jobs=1)
        await waiters.tasks[0]
        assert await subscribers(pool) == 1
        assert await pool.cancel("later")
        await waiters.ended()
        assert not pool.events._ends
        await until_nobody_listens(pool)


async def test_a_waiter_that_gives_up_leaves_nothing(pool: TaskPool, waiters: Waiters) -> None:
    """When a waiter is cancelled, nobody listens for the job any more."""
    await pool.enqueue("double", job_id="a")
    await waiters.add(wait_for(pool, "a"))
    [task] = waiters.tasks
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not pool.events._ends
    await until_nobody_listens(pool)


async def test_a_waiter_that_gives_up_while_it_subscribes_leaves_nothing(pool: TaskPool) -> None:
    """A waiter without time, which is gone before it is subscribed, does not keep the subscription for ever."""
    await pool.enqueue("double", job_id="a")
    job = await pool.enqueue_job("double")
    assert job is not None
    with pytest.raises(TimeoutError):
        await wait_for(pool, "a", 0)
    with pytest.raises(TimeoutError):
        await job.result(0)
    assert not pool.events._ends
    await until_nobody_listens(pool)


async def lose_connection(pool: TaskPool) -> None:
    """End the connection that listens, and return when the client has seen it."""
    listening = pool.events._listening
    assert listening is not None
    assert await pool.client_kill_filter(_type="pubsub") == 1
    await asyncio.wait([listening])


async def test_a_waiter_whose_connection_is_lost_looks_for_itself(
    pool: TaskPool, run_jobs: RunJobs, waiters: Waiters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the connection that listens has ended, the waiter gets there by its own look."""
    monkeypatch.setattr(events, "LOOK", 0.05)
    await pool.enqueue("double", (21,), job_id="a")
    await waiters.add(wait_for(pool, "a"))
    await lose_connection(pool)
    await run_jobs(double)
    [info] = await waiters.ended()
    assert info.result == 42
    assert await subscribers(pool) == 0


async def test_the_next_waiter_listens_again(pool: TaskPool, run_jobs: RunJobs, waiters: Waiters) -> None:
    """After a lost connection the next waiter makes another, which serves those who have waited since before."""
    await pool.enqueue("double", (21,), job_id="a")
    await pool.enqueue("double", (4,), job_id="b")
    await waiters.add(wait_for(pool, "a"))
    await lose_connection(pool)
    await waiters.add(wait_for(pool, "b"))
    assert await subscribers(pool) == 1
    await run_jobs(double)
    assert [info.result for info in await waiters.ended()] == [42, 8]


async def run_plain_worker(pool: TaskPool) -> None:
    worker = PlainWorker(
        [replace(as_function(double), name="double")],
        redis_pool=pool,
        burst=True,
        handle_signals=False,
        poll_delay=0.01,
        job_serializer=codec.serialize,
        job_deserializer=codec.deserialize,
    )
    assert type(worker) is not Worker
    await worker.async_run()


async def test_waiters_for_a_plain_arq_worker_look_for_themselves(
    pool: TaskPool, waiters: Waiters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of arq's own class tells nobody; `wait` and `result` get there all the same."""
    monkeypatch.setattr(events, "LOOK", 0.05)
    await pool.enqueue("double", (21,), job_id="a")
    job = await pool.enqueue_job("double", 4)
    assert job is not None
    await waiters.add(wait_for(pool, "a"), job.result(poll_delay=0.05))
    async with pool.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(keys.EVENTS)
        await run_plain_worker(pool)
        info, result = await waiters.ended()
        assert (info.status, info.result, result) == (JobStatus.SUCCESS, 42, 8)
        await pool.publish(keys.EVENTS, "the first message")
        assert (await told(pubsub)) == b"the first message"


async def told(pubsub: PubSub) -> Any:
    async for message in pubsub.listen():
        return message["data"]
    return None
