"""How often Redis is asked: one call for many jobs, and next to none by a worker that has nothing to do."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import Statistics, Worker, keys, scripts
from {{ cookiecutter.__package }}.infrastructure.jobs.policy import Unique
from {{ cookiecutter.__package }}.infrastructure.jobs.running import counters
from {{ cookiecutter.__package }}.infrastructure.jobs.task import as_function
from {{ cookiecutter.__package }}.infrastructure.tasks import enqueue_task, get_redis_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext, TaskPool

    from ..conftest import RunJobs

#: Seconds for which an idle worker is watched: two rounds of everything that it does now and then.
WINDOW = 11
#: More than a test calls.
LOG_LENGTH = 10_000
SCRIPTS = ("enqueue", "claim", "renew", "commit", "requeue", "cancel", "count")


async def nothing(ctx: TaskContext, number: int = 0) -> None:
    """End at once."""


async def calls(pool: TaskPool) -> Counter[str]:
    """Count the commands since `config_resetstat`, those that scripts call among them."""
    stats = await pool.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()})


async def reads(pool: TaskPool) -> int:
    """Count how often the server has read what somebody sent, which is once for a small command."""
    return int((await pool.info("stats"))["total_reads_processed"])


class ScriptCalls:
    """Counts the calls of each script: the server's log of slow commands, which holds all of them for once."""

    def __init__(self, pool: TaskPool) -> None:
        self._client: Any = pool  # its types are those of the synchronous client
        self._names: dict[str, str] = {}

    async def load(self) -> None:
        """Load the scripts: where one is not there, its first call would be two."""
        self._names = {await self._client.script_load(scripts._source(name)): name for name in SCRIPTS}

    async def counted(self) -> Counter[str]:
        """Count the calls since the test began."""
        log = [entry["command"] for entry in await self._client.slowlog_get(LOG_LENGTH)]
        return Counter(
            name
            for command in log
            for sha, name in self._names.items()
            if command.startswith(f"EVALSHA {sha}".encode())
        )


@pytest.fixture
async def script_calls(pool: TaskPool) -> AsyncIterator[ScriptCalls]:
    """Give the counter, and the server's settings back when the test has ended."""
    calls = ScriptCalls(pool)
    await calls.load()
    before = await pool.config_get("slowlog-*")
    await pool.config_set("slowlog-max-len", LOG_LENGTH)
    await pool.config_set("slowlog-log-slower-than", 0)
    await pool.slowlog_reset()
    yield calls
    for name, value in before.items():
        await pool.config_set(name, value)
    await pool.slowlog_reset()


async def test_one_job_is_one_round_trip(pool: TaskPool, script_calls: ScriptCalls) -> None:
    """Enqueueing asks Redis once, whatever is asked of the job, and whether it is stored or left out."""
    await pool.enqueue("nothing")  # by now the pool is connected
    before = await reads(pool)
    await pool.enqueue("nothing")
    for _ in range(2):
        await pool.enqueue("nothing", job_id="mine")
        await pool.enqueue("nothing", unique=Unique.PENDING, idempotency_key="request")
    await pool.enqueue("nothing", defer_by=60, expires=60, queue="mail")
    await pool.enqueue_job("nothing")
    await enqueue_task("example_task", message="x", _job_id="by the front door", _defer_by=60)
    assert await reads(pool) - before == 8 + 1  # for the question itself
    assert await script_calls.counted() == {"enqueue": 9}


async def test_many_jobs_are_one_round_trip_for_every_500(pool: TaskPool, script_calls: ScriptCalls) -> None:
    """1,200 jobs are enqueued in three calls, in their order, and none is lost."""
    job_ids = await pool.enqueue_many("nothing", [{"number": number} for number in range(1_200)])
    assert await script_calls.counted() == {"enqueue": 3}
    assert await pool.zrange(keys.queue(), 0, -1) == [(job_id or "").encode() for job_id in job_ids]
    assert len(job_ids) == 1_200


async def test_a_hundred_jobs_are_one_claim_and_one_commit(
    pool: TaskPool, run_jobs: RunJobs, script_calls: ScriptCalls
) -> None:
    """Jobs that wait together start together, by one call, and what ends together is recorded by one."""
    started = asyncio.Barrier(100)
    seen: Counter[str] = Counter()

    async def meets(ctx: TaskContext, number: int) -> None:  # noqa: ARG001
        await started.wait()
        if number == 0:
            seen.update(await script_calls.counted())

    await pool.enqueue_many("meets", [{"number": number} for number in range(100)])
    worker = await run_jobs(meets, max_jobs=100, max_tries=1, job_timeout=30)
    assert worker.jobs_complete == 100
    assert seen == {"enqueue": 1, "claim": 1}
    assert 1 <= (await script_calls.counted())["commit"] <= 2  # the one that looked comes later


async def test_a_job_is_two_round_trips_of_its_worker(
    pool: TaskPool, run_jobs: RunJobs, script_calls: ScriptCalls
) -> None:
    """A job alone is claimed by one call and recorded by one, with all that is kept of it."""
    await pool.enqueue("nothing")
    worker = await run_jobs(nothing)
    assert worker.jobs_complete == 1
    counted = await script_calls.counted()
    assert (counted["commit"], counted["requeue"]) == (1, 0)
    assert 1 <= counted["claim"] <= 2  # whether there is more


async def test_jobs_are_recorded_together(pool: TaskPool, run_jobs: RunJobs, script_calls: ScriptCalls) -> None:
    """What has ended while the last call was under way is recorded by the next: a hundred jobs are a few calls."""
    await pool.enqueue_many("nothing", [{"number": number} for number in range(100)])
    worker = await run_jobs(nothing, max_jobs=100)
    assert worker.jobs_complete == 100
    counted = await script_calls.counted()
    assert 1 <= counted["commit"] <= 5
    assert 1 <= counted["claim"] <= 5


async def test_jobs_are_put_back_together(pool: TaskPool, run_jobs: RunJobs, script_calls: ScriptCalls) -> None:
    """So are jobs that failed and wait for another try."""

    async def fails(ctx: TaskContext, number: int) -> None:  # noqa: ARG001
        if ctx["job_try"] == 1:
            raise ValueError("not yet")

    await pool.enqueue_many("fails", [{"number": number} for number in range(100)])
    worker = await run_jobs(fails, max_jobs=100)
    assert (worker.jobs_retried, worker.jobs_complete) == (100, 100)
    counted = await script_calls.counted()
    assert 1 <= counted["requeue"] <= 5
    assert 1 <= counted["commit"] <= 5


async def test_statistics_are_one_call_for_all_jobs_of_a_second(
    pool: TaskPool, run_jobs: RunJobs, script_calls: ScriptCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hundreds of jobs came to is written together: here, when the worker stops, for the second lasts an hour."""
    monkeypatch.setattr(counters, "INTERVAL", 3600)
    await pool.enqueue_many("nothing", [{"number": number} for number in range(1_000)])
    await run_jobs(nothing, max_jobs=100)
    assert (await script_calls.counted())["count"] == 1
    assert (await Statistics(pool).overview()).hour.succeeded == 1_000


@pytest.mark.parametrize("queues", [(), ("default", "mail", "reports")])
async def test_an_idle_worker_hardly_asks(queues: tuple[str, ...], pool: TaskPool) -> None:
    """A worker that has nothing to do sends at most five commands a second, however many queues it serves."""
    worker = Worker(
        [replace(as_function(nothing), name="nothing")],
        redis_settings=get_redis_settings(),
        handle_signals=False,
        queues=queues,
    )
    running = asyncio.create_task(worker.async_run())
    try:
        job = await pool.enqueue_job("nothing")
        assert job is not None
        await job.result(timeout=60)
        while True:  # what is left to do of the job
            if (await Statistics(pool).overview()).hour.succeeded:
                break
            await asyncio.sleep(0.02)
        await pool.config_resetstat()
        began = await now_of(pool)
        await asyncio.sleep(WINDOW)
        counted = await calls(pool)
        seconds = await now_of(pool) - began
    finally:
        await worker.close()
        await asyncio.gather(running, return_exceptions=True)
    for own in ("config|resetstat", "time", "info"):
        del counted[own]
    assert seconds >= WINDOW - 1
    assert counted["blpop"] > 0  # it listens
    assert counted.total() / seconds <= 5, f"in {seconds:.1f} s: {dict(counted)}"


async def now_of(pool: TaskPool) -> float:
    seconds, microseconds = await pool.time()
    return float(seconds + microseconds / 1e6)
