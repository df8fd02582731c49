"""A Redis without memory: a step is refused before it has written anything, or it goes through wholly.

A script that has begun to write is not stopped, so its first write decides. New jobs are refused; what workers do goes
through, for only they can empty it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError

from {{ cookiecutter.__package }}.infrastructure.jobs import keys, scripts

from integration.jobs.scripts.calls import (
    FAILED,
    KEEP,
    LEASE,
    MAIL,
    QUEUE,
    Done,
    cancel,
    enqueue,
    everything,
    lapse,
    names,
    now_of,
    score_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from integration.jobs.scripts.calls import Hand


@asynccontextmanager
async def full(pool: TaskPool) -> AsyncIterator[None]:
    """Leave Redis no memory as long as the block lasts."""
    await pool.config_set("maxmemory", (await pool.info("memory"))["used_memory"] // 2)
    try:
        with pytest.raises(ResponseError, match="maxmemory"):
            await pool.set("anything", 1)
        yield
    finally:
        await pool.config_set("maxmemory", 0)


@pytest.fixture(autouse=True)
async def no_eviction(pool: TaskPool) -> None:
    """Make sure that Redis refuses what it has no memory for, rather than forget something else."""
    assert await pool.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


@pytest.mark.parametrize("lifetime", [0, 90_000])
@pytest.mark.parametrize("chosen", [False, True])
async def test_a_full_redis_refuses_new_jobs_before_it_writes_anything(
    chosen: bool,  # noqa: FBT001
    lifetime: int,
    pool: TaskPool,
) -> None:
    """Of a call with locks, and of one with an id that was cancelled, nothing is left."""
    await enqueue(pool, "a")
    await cancel(pool, "a")
    await pool.zadd(keys.ABORTS, {"a": 1})
    await pool.set(keys.unknown("a"), 1)
    found = await everything(pool)
    async with full(pool):
        with pytest.raises(ResponseError, match="maxmemory"):
            await enqueue(pool, "a", "b", chosen=chosen, lifetime=lifetime, locks=[("lock", "period", KEEP)])
    assert await everything(pool) == found


async def test_a_full_redis_answers_where_nothing_is_to_be_written(pool: TaskPool) -> None:
    """That an id is taken, or a lock, is said all the same."""
    await enqueue(pool, "a", locks=[("lock", "period", KEEP)])
    async with full(pool):
        assert await enqueue(pool, "a") == [0]
        assert await enqueue(pool, "b", locks=[("lock", "period", KEEP)]) == [[1, b"a"]]


async def test_a_full_redis_lets_jobs_be_claimed(pool: TaskPool, me: Hand) -> None:
    """Each kind of job goes to the worker, with all that is to be noted of it."""
    await enqueue(pool, "lapsed")
    await me.claim()
    await lapse(pool, "lapsed")
    await enqueue(pool, "new", "aborted")
    await enqueue(pool, "expires", "expired", lifetime=90_000)
    await enqueue(pool, "mail", queue=MAIL)
    await pool.delete(keys.job("expired"))
    await pool.zadd(keys.ABORTS, {"aborted": 1})
    async with full(pool):
        now, _, jobs = await me.claim(queues=[QUEUE, MAIL])
    assert {job.job_id: (job.attempt, job.losses) for job in jobs} == {
        "lapsed": (2, 1),
        **dict.fromkeys(["new", "aborted", "expires", "expired", "mail"], (1, 0)),
    }
    assert {await score_of(pool, job.job_id, (QUEUE, MAIL)[job.queue - 1]) for job in jobs} == {now + LEASE + 0.5}
    assert await pool.exists(*[keys.in_progress(job.job_id) for job in jobs]) == 6
    assert not await pool.exists(keys.expiring("expires"))


@pytest.mark.parametrize("away", [False, True])
async def test_a_full_redis_lets_leases_be_renewed(away: bool, pool: TaskPool, me: Hand) -> None:  # noqa: FBT001
    """One that is held is prolonged, and one that has lapsed is taken up, whichever comes first."""
    await enqueue(pool, "a", "b")
    await me.claim()
    if away:
        await lapse(pool, "a", "b")
    before = await now_of(pool)
    async with full(pool):
        assert await me.renew("a", "b", lease=2 * LEASE, away=away) == []
    for job_id in "ab":
        assert await score_of(pool, job_id) >= before + 2 * LEASE
        assert await pool.pttl(keys.in_progress(job_id)) > LEASE


@pytest.mark.parametrize("keep_claim", [0, 90_000])
@pytest.mark.parametrize("away", [False, True])
async def test_a_full_redis_lets_ends_be_recorded(
    away: bool,  # noqa: FBT001
    keep_claim: int,
    pool: TaskPool,
    me: Hand,
) -> None:
    """Result, dead letter, history, mark and attempts: all is there, and all that was the job's is gone."""
    await enqueue(pool, "a", "b")
    await me.claim()
    await me.requeue("a", log=FAILED)
    await me.claim()
    if away:
        await lapse(pool, "a", "b")
    dead = Done("a", status="failed", line="failed", dead=True, keep_claim=keep_claim, group="task")
    async with full(pool):
        assert await me.commit(dead, Done("b", status="cancelled", line="cancelled"), away=away) == [1, 1]
    claims = {keys.in_progress("a")} if keep_claim and not away else set()
    assert await names(pool) == claims | {
        keys.result("a"),
        keys.dead_letter("a"),
        keys.dead_attempts("a"),
        keys.DEAD,
        keys.attempts("a"),
        keys.history("failed"),
        keys.result("b"),
        keys.cancelled("b"),
        keys.history("cancelled"),
    }


@pytest.mark.parametrize("away", [False, True])
async def test_a_full_redis_lets_jobs_be_put_back(away: bool, pool: TaskPool, me: Hand) -> None:  # noqa: FBT001
    """The job waits, a worker is told, and how the start ended is noted."""
    await enqueue(pool, "a")
    await me.claim()
    if away:
        await lapse(pool, "a")
    async with full(pool):
        assert await me.requeue("a", counts=False, log=FAILED, group="task", away=away) == [1]
    left = {QUEUE, keys.wake(QUEUE), keys.job("a"), keys.tries("a"), keys.attempts("a")}
    assert await names(pool) == left
    assert await me.claimed() == ["a"]


async def test_a_full_redis_lets_jobs_be_cancelled(pool: TaskPool) -> None:
    """A job that waits takes up room, and its end makes some; what is noted of it is noted."""
    await enqueue(pool, "a")
    async with full(pool):
        assert await cancel(pool, "a") == b"cancelled"
    left = {keys.result("a"), keys.cancelled("a"), keys.history("cancelled"), keys.wake(QUEUE)}
    assert await names(pool) == left


async def test_a_full_redis_lets_running_jobs_be_asked_to_end(pool: TaskPool, me: Hand) -> None:
    """So does the end of a job that runs."""
    await enqueue(pool, "a")
    await me.claim()
    async with full(pool):
        assert await cancel(pool, "a", terminate=True) == b"asked"
    assert await pool.zrange(keys.ABORTS, 0, -1) == [b"a"]


async def test_a_full_redis_takes_all_numbers_or_none(pool: TaskPool) -> None:
    """So the worker that keeps them until it is not full any more counts nothing twice."""
    async with full(pool):
        with pytest.raises(OutOfMemoryError):
            await scripts.script(pool, "count")(args=['{"task": {"success": 1}}', "{}"])
    assert await pool.keys(keys.statistics("*")) == []


async def test_a_full_redis_is_trimmed(pool: TaskPool) -> None:
    """To forget is what it needs most."""
    await pool.zadd(keys.history("success"), {"old": 1})
    await pool.zadd(keys.DEAD, {"a": 1})
    await pool.mset({keys.dead_letter("a"): "letter", keys.dead_attempts("a"): "attempts"})
    async with full(pool):
        assert await scripts.script(pool, "trim")(args=[10, 1_000, 10, 1_000]) == 0
    assert await names(pool) == set()
