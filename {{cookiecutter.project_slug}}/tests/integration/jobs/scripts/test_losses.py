"""`claim.lua`, where a lease was not kept up: the job comes back, and the loss is counted, apart from its starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from {{ cookiecutter.__package }}.infrastructure.jobs import keys

from integration.jobs.scripts.calls import (
    MONTH,
    attempts_of,
    enqueue,
    expiry_of,
    lapse,
    losses_of,
    now_of,
    score_of,
    tries_of,
)

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from integration.jobs.scripts.calls import Hand


async def test_claim_tells_of_a_lease_that_was_not_kept_up(pool: TaskPool, me: Hand, other: Hand) -> None:
    """A job whose worker died comes back, marked, with its next start and the loss; one that is retried, without."""
    await enqueue(pool, "dead", "again")
    await other.claim()
    await lapse(pool, "dead")
    await other.requeue("again")
    now, _, jobs = await me.claim()
    assert {job.job_id: (job.attempt, job.losses, job.special) for job in jobs} == {
        "dead": (2, 1, "lapsed"),
        "again": (2, 0, ""),
    }
    assert await pool.get(keys.in_progress("dead")) == me.value("dead")
    assert await pool.get(keys.lost("dead")) == b"1"
    assert await attempts_of(pool, "dead") == [{"outcome": "lost", "finished": now}]
    assert not await pool.exists(keys.lost("again"), keys.attempts("again"))
    assert now + MONTH <= await expiry_of(pool, keys.attempts("dead")) <= await now_of(pool) + MONTH


async def test_claim_counts_losses_apart_from_starts(pool: TaskPool, me: Hand) -> None:
    """Each start counts, and each loss; a start after a retry still knows the losses before it."""
    await enqueue(pool, "a")
    await me.claim()
    seen = []
    for lost in (True, False, True):
        if lost:
            await lapse(pool, "a")
        else:
            await me.requeue("a")
        _, _, [job] = await me.claim()
        seen.append((job.attempt, job.losses, job.special))
    assert seen == [(2, 1, "lapsed"), (3, 1, ""), (4, 2, "lapsed")]
    assert (await tries_of(pool, "a"), await losses_of(pool, "a")) == (4, 2)
    assert len(await attempts_of(pool, "a")) == 2


async def test_claim_counts_no_loss_of_a_job_that_was_put_back_as_a_suspect(pool: TaskPool, me: Hand) -> None:
    """It is still marked, and its loss was counted when it was found; if its next worker is lost, that is another."""
    await enqueue(pool, "a")
    await me.claim()
    await lapse(pool, "a")
    await me.claim()
    for _ in range(2):
        await me.requeue("a", delay=-1, counts=False, lapsed=True)
        _, _, [job] = await me.claim()
        assert (job.attempt, job.losses, job.special) == (2, 1, "lapsed")
    assert await losses_of(pool, "a") == len(await attempts_of(pool, "a")) == 1
    await lapse(pool, "a")
    _, _, [job] = await me.claim()
    assert (job.attempt, job.losses, job.special) == (3, 2, "lapsed")


async def test_claim_keeps_the_latest_hundred_attempts(pool: TaskPool, me: Hand) -> None:
    """However often a job is started, what is known of that does not grow without end."""
    await enqueue(pool, "a")
    await me.claim()
    client = pool.pipeline()
    for number in range(100):
        client.rpush(keys.attempts("a"), str(number))
    await client.execute()
    await lapse(pool, "a")
    await me.claim()
    attempts = await attempts_of(pool, "a")
    assert (len(attempts), attempts[0], attempts[-1]["outcome"]) == (100, 1, "lost")


async def test_claim_spares_lapsed_leases_when_asked(pool: TaskPool, me: Hand, other: Hand) -> None:
    """After Redis was away, who held a job has the first word; jobs behind it are claimed all the same."""
    await enqueue(pool, "lapsed")
    await other.claim()
    await lapse(pool, "lapsed")
    await enqueue(pool, "a", "b")
    found = await score_of(pool, "lapsed")
    assert await me.claimed(spare_lapsed=True) == ["a", "b"]
    assert await score_of(pool, "lapsed") == found
    assert (await tries_of(pool, "lapsed"), await losses_of(pool, "lapsed")) == (1, 0)
    assert not await pool.exists(keys.in_progress("lapsed"), keys.attempts("lapsed"))
    assert await me.claimed() == ["lapsed"]


async def test_claim_does_not_spare_a_job_that_was_put_back_as_a_suspect(pool: TaskPool, me: Hand) -> None:
    """Nobody held that one."""
    await enqueue(pool, "a")
    await me.claim()
    await me.requeue("a", delay=-1, counts=False, lapsed=True)
    assert await me.claimed(spare_lapsed=True) == ["a"]


async def test_claim_leaves_lapsed_leases_alone_when_redis_stood_still(pool: TaskPool, me: Hand) -> None:
    """A call that was under way for more than a second meets leases whose holders could not renew them."""
    await enqueue(pool, "a")
    await me.claim()
    await lapse(pool, "a")
    assert await me.claimed(began=await now_of(pool) - 2_000) == []
    assert await me.claimed() == ["a"]
