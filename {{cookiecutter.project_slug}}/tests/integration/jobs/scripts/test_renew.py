"""`renew.lua`: a lease is prolonged as long as it is the caller's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import keys

from integration.jobs.scripts.calls import (
    LEASE,
    QUEUE,
    Done,
    enqueue,
    everything,
    expiry_of,
    lapse,
    now_of,
    score_of,
    tries_of,
)

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from integration.jobs.scripts.calls import Hand


async def test_renew_prolongs_the_lease(pool: TaskPool, me: Hand) -> None:
    """The claim lasts a lease from now, and the score moves along."""
    await enqueue(pool, "a", "b")
    await me.claim()
    before = await now_of(pool)
    assert await me.renew("a", "b", lease=2 * LEASE) == []
    after = await now_of(pool)
    for job_id in ("a", "b"):
        assert await pool.get(keys.in_progress(job_id)) == me.value(job_id)
        assert before + 2 * LEASE <= await expiry_of(pool, keys.in_progress(job_id)) <= after + 2 * LEASE
        assert before + 2 * LEASE + 0.5 <= await score_of(pool, job_id) <= after + 2 * LEASE + 0.5
        assert await score_of(pool, job_id) % 1 == 0.5
        assert await tries_of(pool, job_id) == 1


@pytest.mark.parametrize("away", [False, True])
async def test_renew_of_another_workers_lease_changes_nothing(
    away: bool,  # noqa: FBT001
    pool: TaskPool,
    me: Hand,
    other: Hand,
) -> None:
    """A lease that somebody else holds is lost, also for a worker for which Redis was away; its others last."""
    await enqueue(pool, "lost", "mine")
    await me.claim(slots=1)
    await lapse(pool, "lost")
    await other.claim(slots=1)
    await me.claim()
    found = await everything(pool)
    assert await me.renew("lost", lease=2 * LEASE, away=away) == ["lost"]
    assert await everything(pool) == found
    assert await me.renew("mine", "lost", lease=2 * LEASE, away=away) == ["lost"]
    assert await score_of(pool, "mine") > await score_of(pool, "lost") + LEASE / 2


@pytest.mark.parametrize("stamp", ["1:2", "2:1"])
async def test_renew_tells_the_starts_of_one_worker_apart(stamp: str, pool: TaskPool, me: Hand) -> None:
    """Another start of the same worker, of the same number even, is another lease."""
    await enqueue(pool, "a")
    await me.claim()
    me.stamps["a"] = stamp
    found = await everything(pool)
    assert await me.renew("a", away=True) == ["a"]
    assert await everything(pool) == found


async def test_renew_does_not_take_up_a_lapsed_lease_of_its_own_accord(pool: TaskPool, me: Hand) -> None:
    """Without the flag, a lease that has lapsed is lost, although nobody has claimed the job."""
    await enqueue(pool, "a")
    await me.claim()
    await lapse(pool, "a")
    found = await everything(pool)
    assert await me.renew("a") == ["a"]
    assert await everything(pool) == found


async def test_renew_takes_up_a_lapsed_lease_with_the_flag(pool: TaskPool, me: Hand, other: Hand) -> None:
    """After Redis was away, a lease that has lapsed is held again, by the same start, and no loss is counted."""
    await enqueue(pool, "a")
    await me.claim()
    await lapse(pool, "a")
    before = await now_of(pool)
    assert await me.renew("a", away=True) == []
    after = await now_of(pool)
    assert await pool.get(keys.in_progress("a")) == me.value("a")
    assert before + LEASE <= await expiry_of(pool, keys.in_progress("a")) <= after + LEASE
    assert await score_of(pool, "a") >= before + LEASE + 0.5
    assert await other.claimed() == []
    assert not await pool.exists(keys.lost("a"), keys.attempts("a"))
    assert await me.commit(Done("a")) == [1]


async def test_renew_sees_that_somebody_had_the_job_in_between(pool: TaskPool, me: Hand, other: Hand) -> None:
    """When another worker has claimed the job and lost it as well, the number of starts tells; nothing is changed."""
    await enqueue(pool, "a")
    await me.claim()
    await lapse(pool, "a")
    await other.claim()
    await lapse(pool, "a")
    found = await everything(pool)
    assert await me.renew("a", away=True) == ["a"]
    assert await everything(pool) == found


async def test_renew_makes_no_claim_on_a_job_that_is_over(pool: TaskPool, me: Hand) -> None:
    """A renewal that comes after the end brings neither claim nor place in the queue back, and prolongs nothing."""
    await enqueue(pool, "done", "kept")
    await me.claim()
    await me.commit(Done("done"), Done("kept", keep_claim=5_000))
    found = await everything(pool)
    for away in (False, True):
        assert await me.renew("done", "kept", away=away) == ["done"]
        assert await everything(pool) == found


@pytest.mark.parametrize("lapsed", [False, True])
async def test_renew_leaves_an_emptied_queue_empty(lapsed: bool, pool: TaskPool, me: Hand) -> None:  # noqa: FBT001
    """A job that was taken out of the queue while it ran does not come back by a renewal."""
    await enqueue(pool, "a")
    await me.claim()
    if lapsed:
        await lapse(pool, "a")
    await pool.delete(QUEUE)
    await me.renew("a", away=lapsed)
    assert not await pool.exists(QUEUE)
