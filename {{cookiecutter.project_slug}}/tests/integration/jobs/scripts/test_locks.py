"""Locks of `enqueue.lua`: a job is left out while another stands for it, and not a moment longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import keys

from integration.jobs.scripts.calls import (
    KEEP,
    PAYLOAD,
    QUEUE,
    Done,
    cancel,
    enqueue,
    everything,
    expiry_of,
    lapse,
    names,
    now_of,
)

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from integration.jobs.scripts.calls import Hand, Lock

PENDING: Lock = ("lock", "pending", KEEP)
UNFINISHED: Lock = ("lock", "unfinished", KEEP)
PERIOD: Lock = ("lock", "period", KEEP)
#: What the script says of a job that its only lock keeps out, since `first` has that.
LEFT_OUT = [[1, b"first"]]


async def second(pool: TaskPool, lock: Lock) -> list[object]:
    """Enqueue another job with the lock, and make sure that one which is left out changes nothing."""
    found = await everything(pool)
    answer = await enqueue(pool, "second", lifetime=5_000, locks=[lock], payload=b"of the second")
    if answer != [1]:
        assert await everything(pool) == found
    return answer


@pytest.mark.parametrize("lock", [PENDING, UNFINISHED, PERIOD])
async def test_a_lock_keeps_out_while_its_job_waits(lock: Lock, pool: TaskPool) -> None:
    """The first job has the key for so many ms; the second is left out, told who has it, and writes nothing at all."""
    before = await now_of(pool)
    assert await enqueue(pool, "first", locks=[lock]) == [1]
    after = await now_of(pool)
    assert await pool.get("lock") == b"first"
    assert before + KEEP <= await expiry_of(pool, "lock") <= after + KEEP
    assert await names(pool) == {QUEUE, keys.wake(QUEUE), keys.job("first"), "lock"}
    assert await second(pool, lock) == LEFT_OUT
    assert await enqueue(pool, "third", locks=[("another lock", *lock[1:])]) == [1]


@pytest.mark.parametrize("lock", [PENDING, UNFINISHED, PERIOD])
async def test_a_lock_is_over_with_its_key(lock: Lock, pool: TaskPool) -> None:
    """What keeps longer than the time that was asked for is not known any more."""
    await enqueue(pool, "first", locks=[lock])
    await pool.delete("lock")  # what Redis does when the time is over
    assert await second(pool, lock) == [1]
    assert await pool.get("lock") == b"second"


async def test_a_lock_of_a_waiting_job_is_freed_by_the_first_start(pool: TaskPool, me: Hand) -> None:
    """Once the first job runs, the second may wait, and has the lock; the first does not keep out a third."""
    await enqueue(pool, "first", locks=[PENDING])
    await me.claim()
    assert await second(pool, PENDING) == [1]
    assert await enqueue(pool, "third", locks=[PENDING]) == [[1, b"second"]]


async def test_a_job_that_waits_for_another_try_keeps_nobody_out(pool: TaskPool, me: Hand) -> None:
    """It has been started, and what it has seen then may be out of date."""
    await enqueue(pool, "first", locks=[PENDING])
    await me.claim()
    await me.requeue("first", delay=KEEP)
    assert await second(pool, PENDING) == [1]


async def test_a_job_that_was_handed_back_waits_for_its_first_start(pool: TaskPool, me: Hand) -> None:
    """A start that does not count is none, so the lock keeps out again, unless somebody has it since."""
    await enqueue(pool, "first", locks=[PENDING])
    await me.claim()
    await me.requeue("first", counts=False)
    assert await second(pool, PENDING) == LEFT_OUT
    await me.claim()
    assert await second(pool, PENDING) == [1]
    await me.requeue("first", counts=False)
    assert await enqueue(pool, "third", locks=[PENDING]) == [[1, b"second"]]


async def test_a_job_that_has_lost_its_worker_keeps_nobody_out(pool: TaskPool, me: Hand) -> None:
    """It was started; whether its worker lives does not matter."""
    await enqueue(pool, "first", locks=[PENDING])
    await me.claim()
    await lapse(pool, "first")
    assert await second(pool, PENDING) == [1]


async def test_a_lock_of_an_unfinished_job_is_kept_until_its_end(pool: TaskPool, me: Hand) -> None:
    """Not by a start, nor by another try, nor by the loss of a worker, but by the end is it freed."""
    await enqueue(pool, "first", locks=[UNFINISHED])
    await me.claim()
    assert await second(pool, UNFINISHED) == LEFT_OUT
    await me.requeue("first")
    assert await second(pool, UNFINISHED) == LEFT_OUT
    await me.claim()
    await lapse(pool, "first")
    assert await second(pool, UNFINISHED) == LEFT_OUT
    await me.claim()
    await me.commit(Done("first"))
    assert await second(pool, UNFINISHED) == [1]
    assert await pool.get("lock") == b"second"


@pytest.mark.parametrize("lock", [PENDING, UNFINISHED])
async def test_a_lock_is_freed_when_its_job_is_cancelled(lock: Lock, pool: TaskPool) -> None:
    """A job that will never run stands for nobody."""
    await enqueue(pool, "first", locks=[lock])
    await cancel(pool, "first")
    assert await second(pool, lock) == [1]


@pytest.mark.parametrize("lock", [PENDING, UNFINISHED])
async def test_a_lock_is_freed_when_its_job_has_not_started_in_time(lock: Lock, pool: TaskPool) -> None:
    """Nor does one whose payload has expired, whether a worker has recorded that or not."""
    await enqueue(pool, "first", lifetime=5_000, locks=[lock])
    assert await second(pool, lock) == LEFT_OUT
    await pool.delete(keys.job("first"))
    assert await second(pool, lock) == [1]


@pytest.mark.parametrize("lock", [PENDING, UNFINISHED])
async def test_the_next_job_of_the_same_id_may_take_the_lock(lock: Lock, pool: TaskPool, me: Hand) -> None:
    """A job that has ended is not taken for the next one that has its id."""
    await enqueue(pool, "first", locks=[lock])
    await me.claim()
    await me.commit(Done("first", keep_result=-1))
    assert await enqueue(pool, "first", locks=[lock]) == [1]


async def test_a_lock_for_a_period_is_kept_whatever_becomes_of_its_job(pool: TaskPool, me: Hand) -> None:
    """Neither a start, nor the end, nor a cancel frees it."""
    await enqueue(pool, "first", locks=[PERIOD])
    await me.claim()
    assert await second(pool, PERIOD) == LEFT_OUT
    await me.commit(Done("first"))
    assert await second(pool, PERIOD) == LEFT_OUT
    await enqueue(pool, "cancelled", locks=[("another", "period", KEEP)])
    await cancel(pool, "cancelled")
    assert await second(pool, ("another", "period", KEEP)) == [[1, b"cancelled"]]


async def test_a_job_takes_all_its_locks_or_none(pool: TaskPool) -> None:
    """The first lock that somebody has is named, and the others are not taken."""
    one, two, three = (f"lock {number}" for number in "123")
    assert await enqueue(pool, "a", locks=[(two, "period", KEEP), (three, "unfinished", KEEP)]) == [1]
    found = await everything(pool)
    locks = [(one, "period", 1_000), (two, "unfinished", 1_000), (three, "period", 1_000)]
    assert await enqueue(pool, "b", locks=locks) == [[2, b"a"]]
    assert await everything(pool) == found
    assert await enqueue(pool, "b", locks=[locks[0]]) == [1]
    assert await enqueue(pool, "c", locks=locks) == [[1, b"b"]]


async def test_jobs_of_one_call_keep_each_other_out(pool: TaskPool) -> None:
    """Of the same job twice in one call, the second is left out; the others are stored."""
    assert await enqueue(pool, "a", "b", "c", locks=[PENDING]) == [1, [1, b"a"], [1, b"a"]]
    assert await pool.zrange(QUEUE, 0, -1) == [b"a"]
    assert await pool.get(keys.job("a")) == PAYLOAD
    assert not await pool.exists(keys.job("b"), keys.job("c"))


async def test_an_id_that_is_taken_takes_no_lock(pool: TaskPool) -> None:
    """That its id is taken is said first, and the lock stays free."""
    await enqueue(pool, "a")
    assert await enqueue(pool, "a", locks=[PERIOD]) == [0]
    assert not await pool.exists("lock")
