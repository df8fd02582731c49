"""`requeue.lua`: a claimed job goes back to its queue, for another try or because its worker stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import keys

from integration.jobs.scripts.calls import (
    FAILED,
    MONTH,
    PAYLOAD,
    QUEUE,
    Done,
    attempts_of,
    enqueue,
    everything,
    expiry_of,
    lapse,
    list_of,
    listening,
    losses_of,
    now_of,
    score_of,
    tokens_of,
    tries_of,
)

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from integration.jobs.scripts.calls import Hand


async def test_requeue_puts_back_for_another_try(pool: TaskPool, me: Hand) -> None:
    """The job is due after the delay by Redis's clock, nobody holds it, the start counts, and a worker is told."""
    await enqueue(pool, "a", "b")
    await me.claim()
    before = await now_of(pool)
    assert await me.requeue("a", "b", delay=7_000) == [1, 1]
    after = await now_of(pool)
    for job_id in ("a", "b"):
        assert before + 7_000 <= await score_of(pool, job_id) <= after + 7_000
        assert await score_of(pool, job_id) % 1 == 0
        assert not await pool.exists(keys.in_progress(job_id))
        assert await tries_of(pool, job_id) == 1
        assert await pool.get(keys.job(job_id)) == PAYLOAD
    assert await tokens_of(pool) == [b"1"]
    assert not await pool.exists(keys.attempts("a"))


async def test_requeue_leaves_no_second_token(pool: TaskPool, me: Hand) -> None:
    """Where a token waits already, it is enough."""
    await enqueue(pool, "a", "b")
    await me.claim(slots=1)
    assert await me.requeue("a") == [1]
    assert await tokens_of(pool) == [b"1"]


async def test_requeue_of_a_start_that_does_not_count(pool: TaskPool, me: Hand, other: Hand) -> None:
    """A job that a stopping worker hands back has its start given back, and is claimed at once as not lapsed."""
    await enqueue(pool, "a")
    await me.claim()
    assert await me.requeue("a", counts=False) == [1]
    assert await tries_of(pool, "a") == 0
    _, _, jobs = await other.claim()
    assert [(job.attempt, job.losses, job.special) for job in jobs] == [(1, 0, "")]


async def test_requeue_lifts_the_limit_of_a_plain_client(pool: TaskPool, me: Hand) -> None:
    """A plain arq client lets every job expire; one that has started does not expire while it waits."""
    await enqueue(pool, "a")
    await pool.pexpire(keys.job("a"), 90_000)
    await me.claim()
    await me.requeue("a", delay=3_600_000)
    assert await pool.pttl(keys.job("a")) == -1


async def test_requeue_keeps_the_mark_of_a_lapsed_lease_if_asked(pool: TaskPool, me: Hand) -> None:
    """A job that may have ended its worker stays known as such, by three quarters, which count no loss."""
    await enqueue(pool, "a")
    await me.claim()
    assert await me.requeue("a", counts=False, lapsed=True) == [1]
    assert await score_of(pool, "a") % 1 == 0.75
    assert await losses_of(pool, "a") == 0


async def test_requeue_remembers_how_the_start_ended(pool: TaskPool, me: Hand) -> None:
    """The lines stand in their order, as they were given, for a month; only the latest hundred are kept."""
    await enqueue(pool, "a")
    for number in range(102):
        await me.claim()
        before = await now_of(pool)
        await me.requeue("a", log=str(number))
    assert await attempts_of(pool, "a") == list(range(2, 102))
    assert before + MONTH <= await expiry_of(pool, keys.attempts("a")) <= await now_of(pool) + MONTH


@pytest.mark.parametrize("counts", [False, True])
async def test_requeue_whose_answer_was_lost_is_not_repeated(
    counts: bool,  # noqa: FBT001
    pool: TaskPool,
    me: Hand,
) -> None:
    """The second call says that the job is back, takes no further start away, and writes no second line."""
    await enqueue(pool, "a")
    await me.claim()
    assert await me.requeue("a", counts=counts, log=FAILED, away=True) == [1]
    tries = await tries_of(pool, "a")
    assert await me.requeue("a", counts=counts, log=FAILED, away=True) == [1]
    assert await tries_of(pool, "a") == tries == counts
    assert await list_of(pool, keys.attempts("a")) == [FAILED.encode()]
    assert await me.claimed() == ["a"]


async def test_requeue_writes_the_same_line_for_each_start(pool: TaskPool, me: Hand) -> None:
    """That a start has ended like the one before is no reason to keep that silent."""
    await enqueue(pool, "a")
    for away in (False, True):
        await me.claim()
        await me.requeue("a", log=FAILED, away=away)
    assert len(await attempts_of(pool, "a")) == 2


@pytest.mark.parametrize("away", [False, True])
async def test_requeue_of_another_workers_job_changes_nothing(
    away: bool,  # noqa: FBT001
    pool: TaskPool,
    me: Hand,
    other: Hand,
) -> None:
    """A worker that lost its lease cannot put the job back under somebody who runs it; its other jobs go back."""
    await enqueue(pool, "lost", "mine")
    await me.claim(slots=1)
    await lapse(pool, "lost")
    await other.claim(slots=1)
    await me.claim()
    found = await everything(pool)
    assert await me.requeue("lost", counts=False, log=FAILED, away=away) == [0]
    assert await everything(pool) == found
    assert await me.requeue("mine", "lost", log=FAILED, away=away) == [1, 0]
    assert await pool.get(keys.in_progress("lost")) == other.value("lost")


async def test_requeue_tells_the_starts_of_one_worker_apart(pool: TaskPool, me: Hand) -> None:
    """A start of the same number, at another time, is another lease."""
    await enqueue(pool, "a")
    await me.claim()
    me.stamps["a"] = "1:2"
    found = await everything(pool)
    assert await me.requeue("a", away=True) == [0]
    assert await everything(pool) == found


async def test_requeue_of_a_lapsed_lease_needs_the_flag(pool: TaskPool, me: Hand, other: Hand) -> None:
    """A lapsed lease counts only for a worker for which Redis was away."""
    await enqueue(pool, "a")
    await me.claim()
    await lapse(pool, "a")
    found = await everything(pool)
    assert await me.requeue("a", log=FAILED) == [0]
    assert await everything(pool) == found
    assert await me.requeue("a", delay=3_600_000, log=FAILED, away=True) == [1]
    assert await other.claimed() == []
    assert len(await attempts_of(pool, "a")) == 1


@pytest.mark.parametrize("counts", [False, True])
async def test_requeue_sees_that_somebody_had_the_job_in_between(
    counts: bool,  # noqa: FBT001
    pool: TaskPool,
    me: Hand,
    other: Hand,
) -> None:
    """When another worker has claimed the job and lost it as well, the number of starts tells; nothing is changed."""
    await enqueue(pool, "a")
    await me.claim()
    await lapse(pool, "a")
    await other.claim()
    await lapse(pool, "a")
    found = await everything(pool)
    assert await me.requeue("a", counts=counts, log=FAILED, away=True) == [0]
    assert await everything(pool) == found


@pytest.mark.parametrize("counts", [False, True])
async def test_requeue_brings_back_no_job_that_is_over(
    counts: bool,  # noqa: FBT001
    pool: TaskPool,
    me: Hand,
) -> None:
    """A job that has ended is not queued again."""
    await enqueue(pool, "a")
    await me.claim()
    await me.commit(Done("a"))
    found = await everything(pool)
    for away in (False, True):
        assert await me.requeue("a", counts=counts, log=FAILED, away=away) == [0]
    assert await everything(pool) == found


async def test_requeue_leaves_an_emptied_queue_empty(pool: TaskPool, me: Hand) -> None:
    """A job that was taken out of the queue while it ran does not come back by its next try."""
    await enqueue(pool, "a")
    await me.claim()
    await pool.delete(QUEUE)
    await me.requeue("a")
    assert not await pool.exists(QUEUE)


@pytest.mark.parametrize("lapsed", [False, True])
async def test_requeue_frees_a_place_of_the_limit(lapsed: bool, pool: TaskPool, me: Hand) -> None:  # noqa: FBT001
    """A job that goes back takes up no place, but one that has lost its worker keeps it."""
    client = pool.pipeline()
    client.sadd(keys.places("task"), "a", "b")
    await client.execute()
    await enqueue(pool, "a")
    await me.claim()
    await me.requeue("a", lapsed=lapsed, group="task")
    client.smembers(keys.places("task"))
    assert await client.execute() == [{b"a", b"b"} if lapsed else {b"b"}]


async def test_requeue_tells_those_who_listen(pool: TaskPool, me: Hand, other: Hand) -> None:
    """The ids that are back are told together; one whose lease was lost is not among them."""
    await enqueue(pool, "a", "b", "theirs")
    await me.claim()
    await lapse(pool, "theirs")
    await other.claim()
    async with listening(pool) as listener:
        await me.requeue("theirs")
        await me.requeue("a", "b", "theirs")
        assert await listener.told() == [{"retrying": ["a", "b"]}]


async def test_requeue_publishes_nothing_where_nobody_listens(pool: TaskPool, me: Hand) -> None:
    """Without a subscriber no message is made."""
    await enqueue(pool, "a")
    await me.claim()
    await pool.config_resetstat()
    assert await me.requeue("a") == [1]
    assert "cmdstat_publish" not in await pool.info("commandstats")
