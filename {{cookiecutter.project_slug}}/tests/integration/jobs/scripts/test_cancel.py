"""`cancel.lua`: a job that waits is over at once, one that runs is asked to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import keys

from integration.jobs.scripts.calls import (
    ARQ,
    CANCELLED,
    FAILED,
    KEEP,
    QUEUE,
    Done,
    cancel,
    enqueue,
    everything,
    expiry_of,
    lapse,
    listening,
    names,
    now_of,
    score_of,
)

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from integration.jobs.scripts.calls import Hand


@pytest.mark.parametrize("kept", [0, KEEP])
async def test_cancel_ends_a_job_that_waits(kept: int, pool: TaskPool, me: Hand) -> None:
    """A waiting job is over at once: its result, marked, for as long as asked, and a line of the history are left."""
    await enqueue(pool, "a", "b")
    await me.claim(slots=1)
    await me.requeue("a")
    before = await now_of(pool)
    assert await cancel(pool, "a", kept=kept) == b"cancelled"
    after = await now_of(pool)
    left = {keys.result("a"), keys.cancelled("a"), keys.history("cancelled")}
    assert await names(pool) == {QUEUE, keys.wake(QUEUE), keys.job("b")} | left
    assert await pool.get(keys.result("a")) == CANCELLED
    assert await pool.zrange(QUEUE, 0, -1) == [b"b"]
    for key in (keys.result("a"), keys.cancelled("a")):
        if kept:
            assert before + kept <= await expiry_of(pool, key) <= after + kept
        else:
            assert await pool.pttl(key) == -1
    [(line, moment)] = await pool.zrange(keys.history("cancelled"), 0, -1, withscores=True)
    assert line == b"line"
    assert before <= moment <= after


async def test_cancel_leaves_nothing_of_what_the_job_was(pool: TaskPool, me: Hand) -> None:
    """The copy of what expires, the losses, and since when its task is unknown are forgotten."""
    await enqueue(pool, "lost")
    await me.claim()
    await lapse(pool, "lost")
    await me.claim()
    await me.requeue("lost")
    await pool.set(keys.unknown("lost"), 1)
    await enqueue(pool, "expires", lifetime=90_000)
    assert await pool.exists(keys.lost("lost"), keys.expiring("expires")) == 2
    for job_id in ("expires", "lost"):
        assert await cancel(pool, job_id) == b"cancelled"
    kept = {key(job_id) for key in (keys.result, keys.cancelled) for job_id in ("expires", "lost")}
    assert await names(pool) == kept | {keys.wake(QUEUE), keys.history("cancelled"), keys.attempts("lost")}


@pytest.mark.parametrize("kept", [0, KEEP])
async def test_cancel_keeps_the_attempts_as_long_as_the_result(kept: int, pool: TaskPool, me: Hand) -> None:
    """What is known of earlier starts goes when the result goes."""
    await enqueue(pool, "a")
    await me.claim()
    await me.requeue("a", log=FAILED)
    await cancel(pool, "a", kept=kept)
    assert await pool.exists(keys.attempts("a"))
    assert await expiry_of(pool, keys.attempts("a")) == await expiry_of(pool, keys.result("a"))


async def test_cancel_ends_a_job_whose_worker_was_lost(pool: TaskPool, me: Hand) -> None:
    """Nobody runs it, so it waits; what was asked of that worker is asked no more."""
    await enqueue(pool, "a")
    await me.claim()
    assert await cancel(pool, "a", terminate=True) == b"asked"
    await lapse(pool, "a")
    await pool.zadd(keys.ABORTS, {"b": 1})
    assert await cancel(pool, "a") == b"cancelled"
    assert not await pool.exists(QUEUE, keys.tries("a"), keys.job("a"))
    assert await pool.zrange(keys.ABORTS, 0, -1) == [b"b"]


async def test_cancel_frees_a_place_of_the_limit(pool: TaskPool) -> None:
    """A job that is cancelled takes up no place of its task, nor stands in line."""
    client = pool.pipeline()
    client.sadd(keys.places("task"), "a", "b")
    client.zadd(keys.parked("task"), {"a": 1})
    client.hset(keys.homes("task"), mapping={"a": QUEUE, "b": QUEUE})
    await client.execute()
    await enqueue(pool, "a")
    await cancel(pool, "a", task="task")
    client.smembers(keys.places("task"))
    client.exists(keys.parked("task"))
    client.hkeys(keys.homes("task"))
    assert await client.execute() == [{b"b"}, 0, [b"b"]]


@pytest.mark.parametrize("holder", [b"me:1:2", ARQ])
async def test_cancel_asks_for_the_end_of_a_job_that_runs(holder: bytes, pool: TaskPool) -> None:
    """With the wish to end it, a running job is put on the list that its worker looks at, and told; no more."""
    await enqueue(pool, "a")
    await pool.set(keys.in_progress("a"), holder)
    found = await everything(pool)
    async with listening(pool, keys.ABORTS) as listener:
        before = await now_of(pool)
        assert await cancel(pool, "a", terminate=True) == b"asked"
        after = await now_of(pool)
        assert await listener.told() == [b"a"]
    assert before <= await score_of(pool, "a", keys.ABORTS) <= after
    await pool.delete(keys.ABORTS)
    assert await everything(pool) == found


async def test_cancel_lets_a_job_run_on(pool: TaskPool, me: Hand) -> None:
    """Without that wish, a running job is left alone, and nobody is told."""
    await enqueue(pool, "a")
    await me.claim()
    found = await everything(pool)
    async with listening(pool, keys.ABORTS) as listener:
        assert await cancel(pool, "a") == b"running"
        assert await listener.told() == []
    assert await everything(pool) == found


@pytest.mark.parametrize("terminate", [False, True])
async def test_cancel_of_a_job_that_is_not_there(
    terminate: bool,  # noqa: FBT001
    pool: TaskPool,
    me: Hand,
) -> None:
    """A job that has ended, or that never was, is unknown, and nothing is changed."""
    await enqueue(pool, "ended")
    await me.claim()
    await me.commit(Done("ended", keep_claim=90_000))
    found = await everything(pool)
    for job_id in ("ended", "never was"):
        assert await cancel(pool, job_id, terminate=terminate) == b"unknown"
    assert await everything(pool) == found


async def test_cancel_tells_those_who_listen(pool: TaskPool, me: Hand) -> None:
    """Who waits for the job is told; where nothing is cancelled, nothing is told."""
    await enqueue(pool, "runs", "waits")
    await me.claim(slots=1)
    async with listening(pool) as listener:
        for job_id in ("runs", "waits", "waits"):
            await cancel(pool, job_id, terminate=True)
        assert await listener.told() == [{"cancelled": ["waits"]}]


async def test_cancel_publishes_nothing_where_nobody_listens(pool: TaskPool) -> None:
    """Without a subscriber no message is made."""
    await enqueue(pool, "a")
    await pool.config_resetstat()
    assert await cancel(pool, "a") == b"cancelled"
    assert "cmdstat_publish" not in await pool.info("commandstats")
