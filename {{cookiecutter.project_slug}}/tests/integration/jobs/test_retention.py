"""What is kept of jobs that have ended: as much as the settings say, and it is forgotten in short steps."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from {{ cookiecutter.__package }}.infrastructure.jobs import JobStatus, keys, retention
from {{ cookiecutter.__package }}.infrastructure.jobs.dead_letters import DeadLetters
from {{ cookiecutter.__package }}.infrastructure.jobs.history import JobHistory
from {{ cookiecutter.__package }}.infrastructure.jobs.retention import Retention, trim

if TYPE_CHECKING:
    import pytest
    from redis.asyncio import Redis

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskContext, TaskPool

    from ..conftest import RunJobs

#: In ms.
NOW = round(time.time() * 1000)
#: Writes so many lines of the history in Redis itself: a client would take a while.
FILL = """
for number = 1, ARGV[1] do
    redis.call('ZADD', KEYS[1], number, '["' .. number .. '","works","default",1,0,0,0,"me",null]')
end
"""


async def works(ctx: TaskContext) -> None:
    """Do nothing."""


async def fails(ctx: TaskContext) -> None:  # noqa: ARG001
    raise ValueError("no luck")


async def run_some(pool: TaskPool, run_jobs: RunJobs, limits: Retention) -> None:
    """Run four jobs, of which the last two fail in their second try, one after the other."""
    for job_id, task in {"a": "works", "b": "works", "c": "fails", "d": "fails"}.items():
        await pool.enqueue(task, job_id=job_id)
        await run_jobs(works, fails, max_tries=2, retention=limits)


async def listed(pool: TaskPool) -> str:
    return "".join(job.job_id for job in (await JobHistory(pool).list()).jobs)


async def test_the_latest_are_kept(pool: TaskPool, run_jobs: RunJobs) -> None:
    """So many lines of each status, and so many dead letters; what is older goes with all that was known of it."""
    limits = Retention(history=1, dead_letters=1)
    await run_some(pool, run_jobs, limits)
    await trim(pool, limits)
    assert await listed(pool) == "db"
    [record] = (await DeadLetters(pool).list()).jobs
    assert (record.job_id, len(record.attempts)) == ("d", 2)
    assert {key.decode() for key in await pool.keys("arq:dead*")} == {
        keys.DEAD,
        keys.dead_letter("d"),
        keys.dead_attempts("d"),
    }


async def test_the_record_of_a_job_outlives_its_dead_letter(pool: TaskPool, run_jobs: RunJobs) -> None:
    """As long as the result is kept, so is how the tries went."""
    await run_some(pool, run_jobs, Retention())
    await trim(pool, Retention(dead_letters=0))
    assert await DeadLetters(pool).count() == 0
    record = await pool.record("d")
    assert record is not None
    assert [attempt.outcome for attempt in record.attempts] == ["failed", "failed"]


async def test_what_is_too_old_is_forgotten(pool: TaskPool, run_jobs: RunJobs) -> None:
    """History and dead letters have an age each."""
    await run_some(pool, run_jobs, Retention())
    week = 7 * 86_400_000
    for key in (*map(keys.history, ("success", "failed")), keys.DEAD):
        [oldest, _] = await pool.zrange(key, 0, -1)
        await pool.zincrby(key, -week, oldest)
    await trim(pool, Retention(dead_letters_age=timedelta(days=8)))
    assert await listed(pool) == "db"
    assert await DeadLetters(pool).count() == 2
    await trim(pool, Retention(dead_letters_age=timedelta(days=7)))
    assert [record.job_id for record in (await DeadLetters(pool).list()).jobs] == ["d"]


async def test_nothing_is_kept_where_nothing_is_wanted(pool: TaskPool, run_jobs: RunJobs) -> None:
    """A limit of 0 switches each of them off, from the start."""
    await run_some(pool, run_jobs, Retention(history=0, dead_letters=0))
    assert not await pool.keys("arq:history:*")
    assert not await pool.keys("arq:dead*")
    assert (await JobHistory(pool).counts())[JobStatus.SUCCESS] == 0


async def test_a_worker_forgets_by_itself(pool: TaskPool, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does so as soon as it works, by its own settings."""
    await pool.zadd(keys.history("failed"), {str(number): NOW + number for number in range(2_500)})
    forgotten = asyncio.Event()

    async def trim_and_tell(client: Redis, limits: Retention) -> None:
        await trim(client, limits)
        forgotten.set()

    async def waits(ctx: TaskContext) -> None:  # noqa: ARG001
        await forgotten.wait()

    monkeypatch.setattr(retention, "trim", trim_and_tell)
    await pool.enqueue("waits")
    await run_jobs(waits, retention=Retention(history=10))
    assert (await JobHistory(pool).counts())[JobStatus.FAILED] == 10


async def test_a_long_history_is_trimmed_in_many_short_steps(pool: TaskPool) -> None:
    """A thousand lines in one call: others are served in between."""
    await pool.register_script(FILL)(keys=[keys.history("success")], args=[100_000])
    await pool.config_resetstat()
    await trim(pool, Retention(history=500, history_age=timedelta(days=365_000)))
    stats = await pool.info("commandstats")
    assert stats["cmdstat_zrem"]["calls"] == 100
    left = await pool.zrange(keys.history("success"), 0, -1, withscores=True)
    assert [score for _, score in left] == list(range(99_501, 100_001))


async def test_a_queue_that_nobody_uses_is_forgotten(pool: TaskPool, run_jobs: RunJobs) -> None:
    """After a day without a job, so that names which are made up do not pile up; its next job is run like any other."""
    await pool.enqueue("works", queue="brief")
    await run_jobs(works, queues="*")
    await pool.enqueue("works", queue="used", defer_by=3600)
    await trim(pool, Retention())
    client: Any = pool  # its types are those of the synchronous client, too
    assert await client.smembers(keys.QUEUES) == {b"arq:queue:brief", b"arq:queue:used"}
    await pool.zadd(keys.QUIET, {"arq:queue:brief": 0})
    await trim(pool, Retention())
    assert await client.smembers(keys.QUEUES) == {b"arq:queue:used"}
    assert not await pool.exists(keys.QUIET)
    job_id = await pool.enqueue("works", queue="brief")
    assert job_id
    await run_jobs(works, queues="brief")
    record = await pool.record(job_id)
    assert record
    assert record.status is JobStatus.SUCCESS
    assert await client.smembers(keys.QUEUES) == {b"arq:queue:brief", b"arq:queue:used"}
