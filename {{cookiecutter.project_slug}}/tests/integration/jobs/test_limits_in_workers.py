"""Limits of a task, kept by real workers: however many there are, and whatever becomes of them."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from {{ cookiecutter.__package }}.infrastructure.jobs import JobStatus, keys
from {{ cookiecutter.__package }}.infrastructure.jobs.limits import Limits
from {{ cookiecutter.__package }}.infrastructure.jobs.task import task

from .limit_hands import assert_rate, nothing_is_left
from .limited import BEGUN, COUNTS, GATE, JOBS, PER, RUNNING
from processes import command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    import pytest

    from {{ cookiecutter.__package }}.infrastructure.jobs import JobRecord, TaskPool
    from {{ cookiecutter.__package }}.infrastructure.jobs.running.claims import Claim

    from ..conftest import RunJobs
    from processes import Process

TESTS = str(Path(__file__).parents[2])
#: Seconds after which what does not happen is taken never to happen.
PATIENCE = 60


@asynccontextmanager
async def worker(*options: str, **settings: Any) -> AsyncIterator[Process]:
    """Run a worker as a process; it has reached Redis."""
    words = ("arq", "integration.jobs.limited.SETTINGS", *options)
    async with command(*words, PYTHONPATH=TESTS, WORKER=json.dumps(settings)) as process:
        await process.until("up\n")
        yield process


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until the condition holds; for what only Redis tells."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


async def enqueue(pool: TaskPool, name: str, number: int, **arguments: Any) -> list[str]:
    """Enqueue so many jobs with the same arguments."""
    return [job_id for job_id in await pool.enqueue_many(name, [arguments] * number) if job_id]


async def ends(pool: TaskPool, job_ids: Iterable[str]) -> list[JobRecord]:
    """Wait until all these jobs have ended, and give what is known of them."""
    records = []
    for job_id in job_ids:
        job = await pool.job(job_id)
        assert job is not None, f"{job_id} is lost"
        record = await job.wait(timeout=PATIENCE)
        assert record is not None
        records.append(record)
    return records


async def members(pool: TaskPool, key: str) -> set[str]:
    client: Any = pool  # its types are those of the synchronous client
    return {member.decode() for member in await client.smembers(key)}


async def listed(pool: TaskPool, key: str) -> list[str]:
    client: Any = pool
    return [entry.decode() for entry in await client.lrange(key, 0, -1)]


async def counts(pool: TaskPool) -> list[int]:
    """Give how many jobs ran each time that one began."""
    return [int(count) for count in await listed(pool, COUNTS)]


async def open_gate(pool: TaskPool) -> None:
    await pool.set(GATE, "open")


async def run_at_once(pool: TaskPool, number: int) -> None:
    """Wait until exactly so many jobs run."""

    async def do() -> bool:
        return len(await members(pool, RUNNING)) == number

    await until(do)


async def test_three_workers_keep_one_limit(pool: TaskPool) -> None:
    """Of 200 jobs never more than three run at once, in three workers that could run thirty; each runs once."""
    job_ids = await enqueue(pool, "limited", 200, seconds=0.005)
    async with worker(), worker(), worker():
        records = await ends(pool, job_ids)
    assert {(record.status, record.tries) for record in records} == {(JobStatus.SUCCESS, 1)}
    counted = await counts(pool)
    assert (len(counted), max(counted)) == (200, 3)
    await nothing_is_left(pool, "limited")


async def test_three_workers_keep_one_rate(pool: TaskPool) -> None:
    """In no span of `per` have more jobs started than the limit says, by what Redis recorded of each start."""
    job_ids = await enqueue(pool, "rated", 30)
    async with pool.monitor() as monitor:
        async with worker(), worker(), worker():
            records = await ends(pool, job_ids)
        await pool.echo("over")
        said: list[list[str]] = []
        while not said or said[-1] != ["ECHO", "over"]:
            said.append((await monitor.next_command())["command"].split())
    assert {(record.status, record.tries) for record in records} == {(JobStatus.SUCCESS, 2)}
    times = [int(words[2]) for words in said if words[:2] == ["ZADD", keys.starts("rated")]]
    assert len(times) == 60
    assert_rate(times, JOBS, int(PER * 1_000_000))
    await nothing_is_left(pool, "rated")


async def test_jobs_start_in_the_order_in_which_they_were_enqueued(pool: TaskPool) -> None:
    """One worker lets those start first that have waited longest."""
    job_ids = await enqueue(pool, "limited", 30)
    async with worker(max_jobs=1):
        await ends(pool, job_ids)
    assert await listed(pool, BEGUN) == job_ids


async def test_what_waits_holds_no_slot(pool: TaskPool) -> None:
    """A worker of four slots, three of them taken for long, runs other tasks while fifty jobs wait for a place."""
    held = await enqueue(pool, "holds", 53)
    async with worker(max_jobs=4):
        await run_at_once(pool, 3)
        others = await enqueue(pool, "free", 20)
        assert {record.status for record in await ends(pool, others)} == {JobStatus.SUCCESS}
        assert await pool.zcard(keys.parked("holds")) == 50
        statuses = [record.status for record in [await pool.record(job_id) for job_id in held] if record]
        assert statuses == [JobStatus.RUNNING] * 3 + [JobStatus.PENDING] * 50
        await open_gate(pool)
        assert {record.status for record in await ends(pool, held)} == {JobStatus.SUCCESS}
    assert max(await counts(pool)) == 3


async def test_a_killed_worker_leaves_its_places_to_who_takes_its_jobs(pool: TaskPool) -> None:
    """Its jobs run again first, within a lease; the limit is kept before and after, and no place is lost."""
    job_ids = await enqueue(pool, "holds", 10)
    async with worker() as first:
        await run_at_once(pool, 3)
        async with worker() as second:
            first.process.kill()

            async def taken_over() -> bool:
                return len(await listed(pool, BEGUN)) == 6

            await until(taken_over)
            begun = await listed(pool, BEGUN)
            assert set(begun[3:]) == set(begun[:3]) == set(job_ids[:3])
            assert await members(pool, keys.places("holds")) == set(job_ids[:3])
            await open_gate(pool)
            records = await ends(pool, job_ids)
            assert {record.status for record in records} == {JobStatus.SUCCESS}
            assert {record.result for record in records} == {second.process.pid}
    assert max(await counts(pool)) == 3
    await nothing_is_left(pool, "holds")


async def test_a_stopping_worker_gives_its_places_up(pool: TaskPool) -> None:
    """What it hands back has lost no try; others that wait run on elsewhere, and in the end all have."""
    job_ids = await enqueue(pool, "holds", 8)
    async with worker(job_completion_wait=0) as first:
        await run_at_once(pool, 3)
        first.process.send_signal(signal.SIGTERM)
        assert await first.end() == 0
    assert not await pool.exists(keys.places("holds"))
    async with worker():
        await run_at_once(pool, 3)
        await open_gate(pool)
        records = await ends(pool, job_ids)
    assert {(record.status, record.tries) for record in records} == {(JobStatus.SUCCESS, 1)}
    assert max(await counts(pool)) == 3
    await nothing_is_left(pool, "holds")


async def test_a_running_job_that_is_cancelled_makes_room(pool: TaskPool) -> None:
    """The next one starts in its place."""
    job_ids = await enqueue(pool, "holds", 4)
    async with worker():
        await run_at_once(pool, 3)
        assert await pool.cancel(job_ids[0], terminate=True)
        (record,) = await ends(pool, job_ids[:1])
        assert record.status is JobStatus.CANCELLED
        await run_at_once(pool, 3)
        assert await members(pool, RUNNING) == set(job_ids[1:])
        await open_gate(pool)
        await ends(pool, job_ids)
    await nothing_is_left(pool, "holds")


async def test_retries_take_their_turns(pool: TaskPool) -> None:
    """Jobs that fail and are tried again keep the limit, and all come to their end."""
    job_ids = await enqueue(pool, "fails", 30)
    async with worker(), worker():
        records = await ends(pool, job_ids)
    assert {(record.status, record.tries) for record in records} == {(JobStatus.SUCCESS, 2)}
    counted = await counts(pool)
    assert (len(counted), max(counted) <= 3) == (60, True)
    await nothing_is_left(pool, "fails")


async def test_a_burst_worker_runs_what_is_parked(pool: TaskPool, run_jobs: RunJobs) -> None:
    """It ends when nothing waits any more, in a queue or outside."""
    ran: list[int] = []

    @task(concurrency=2)
    async def limited(ctx: dict[str, Any], number: int) -> None:  # noqa: ARG001
        ran.append(number)

    await pool.enqueue_many("limited", [{"number": number} for number in range(50)])
    finished = await run_jobs(limited, max_jobs=10)
    assert finished.jobs_complete == 50
    assert sorted(ran) == list(range(50))


async def test_ten_thousand_that_wait_are_touched_once(pool: TaskPool, run_jobs: RunJobs) -> None:
    """A job behind ten thousand of another task runs when each of those has been parked once, many in one call."""
    waiting = 10_000
    calls: dict[str, int] = {}
    counted = asyncio.Event()

    @task(concurrency=1)
    async def limited(ctx: dict[str, Any]) -> None:
        await counted.wait()
        await ctx["redis"].delete(keys.parked("limited"))  # what becomes of them is not what is tested

    async def behind(ctx: dict[str, Any]) -> None:
        stats = await ctx["redis"].info("commandstats")
        calls.update({name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()})
        counted.set()

    await enqueue(pool, "limited", waiting + 1)
    await pool.enqueue("behind")
    await pool.config_resetstat()
    finished = await run_jobs(limited, behind, max_jobs=101)
    assert finished.jobs_complete == 2
    assert calls["evalsha"] <= waiting / 20
    assert waiting - 101 <= calls["decr"] <= waiting  # each was parked once; the last of them are about to be


async def test_a_job_for_which_redis_does_not_answer_loses_no_try(
    pool: TaskPool, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that cannot ask for a place puts the job back, and asks again."""
    answers = iter([ConnectionError("gone"), TimeoutError("too late")])
    acquire = Limits.acquire

    def fails_twice(limits: Limits, claim: Claim, name: str) -> asyncio.Future[bool]:
        for error in answers:
            answer = asyncio.get_running_loop().create_future()
            answer.set_exception(error)
            return answer
        return acquire(limits, claim, name)

    monkeypatch.setattr(Limits, "acquire", fails_twice)

    @task(concurrency=1, retry=1)
    async def limited(ctx: dict[str, Any]) -> int:
        return int(ctx["job_try"])

    job_ids = await enqueue(pool, "limited", 1)
    await run_jobs(limited)
    (record,) = await ends(pool, job_ids)
    assert (record.status, record.result, record.tries) == (JobStatus.SUCCESS, 1, 1)


async def test_a_task_without_limits_pays_nothing(pool: TaskPool, run_jobs: RunJobs) -> None:
    """None of the commands that limits need is called for its jobs, and no key is left."""

    async def free(ctx: dict[str, Any]) -> None: ...

    await enqueue(pool, "free", 20)
    await pool.config_resetstat()
    finished = await run_jobs(free)
    assert finished.jobs_complete == 20
    called = {name.removeprefix("cmdstat_") for name in await pool.info("commandstats")}
    assert not called & {"hmget", "hdel", "sadd", "srem", "scard", "zpopmin"}
    assert await pool.keys("*free*") == []
