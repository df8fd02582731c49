"""`commit.lua`: the end of a job is recorded once, by the worker whose lease it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from {{ cookiecutter.__package }}.infrastructure.jobs import keys, scripts

from integration.jobs.scripts.calls import (
    FAILED,
    KEEP,
    MAIL,
    QUEUE,
    RESULT,
    Done,
    cancel,
    enqueue,
    everything,
    expiry_of,
    lapse,
    listening,
    names,
    now_of,
)

if TYPE_CHECKING:
    from {{ cookiecutter.__package }}.infrastructure.jobs import TaskPool

    from integration.jobs.scripts.calls import Hand

#: An end with all that may be recorded of one.
WHOLE = Done("a", status="failed", line="line", dead=True)


@pytest.mark.parametrize("kept", [0, KEEP])
async def test_commit_records_the_end(kept: int, pool: TaskPool, me: Hand) -> None:
    """The result is there byte for byte, for as long as asked (0: for ever), and nothing else is left of the job."""
    await enqueue(pool, "a")
    await me.claim()
    before = await now_of(pool)
    assert await me.commit(Done("a", keep_result=kept)) == [1]
    after = await now_of(pool)
    assert await names(pool) == {keys.result("a")}
    assert await pool.get(keys.result("a")) == RESULT
    if kept:
        assert before + kept <= await expiry_of(pool, keys.result("a")) <= after + kept
    else:
        assert await pool.pttl(keys.result("a")) == -1


async def test_commit_keeps_no_result_that_nobody_wants(pool: TaskPool, me: Hand) -> None:
    """Where results are not kept, nothing at all is left, also of a job that was started more than once."""
    await enqueue(pool, "a", "b", "c")
    await me.claim()
    await lapse(pool, "b")
    await me.requeue("c", log=FAILED)
    await me.claim()
    assert await me.commit(*[Done(job_id, keep_result=-1) for job_id in "abc"]) == [1, 1, 1]
    assert await names(pool) == set()


async def test_commit_keeps_the_claim_if_asked(pool: TaskPool, me: Hand) -> None:
    """The id of an ended cron job stays claimed for a while, so that a late worker does not start the tick again."""
    await enqueue(pool, "a")
    await me.claim()
    before = await now_of(pool)
    assert await me.commit(Done("a", keep_result=-1, keep_claim=90_000)) == [1]
    after = await now_of(pool)
    assert await names(pool) == {keys.in_progress("a")}
    assert before + 90_000 <= await expiry_of(pool, keys.in_progress("a")) <= after + 90_000
    assert await enqueue(pool, "a") == [0]


async def test_commit_takes_many_of_several_queues(pool: TaskPool, me: Hand) -> None:
    """A whole batch is recorded in one call, each job in its own queue, with its own result and line."""
    ids = [f"{number:03}" for number in range(scripts.BATCH)]
    await enqueue(pool, *ids[::2])
    await enqueue(pool, *ids[1::2], queue=MAIL)
    for _ in range(2):  # the most that is to be forgotten of each: it was started before
        await me.claim(slots=scripts.BATCH, queues=[QUEUE, MAIL])
        await lapse_all(pool, ids)
    await me.claim(slots=scripts.BATCH, queues=[QUEUE, MAIL])
    ends = [
        Done(name, name.encode(), (QUEUE, MAIL)[number % 2], line=f"line {name}") for number, name in enumerate(ids)
    ]
    assert await me.commit(*ends) == [1] * scripts.BATCH
    kept = {key(name) for name in ids for key in (keys.result, keys.attempts)}
    assert await names(pool) == {*kept, keys.history("success")}
    assert await pool.mget([keys.result(name) for name in ids]) == [name.encode() for name in ids]
    assert await pool.zrange(keys.history("success"), 0, -1) == [f"line {name}".encode() for name in ids]


async def lapse_all(pool: TaskPool, ids: list[str]) -> None:
    await pool.delete(*[keys.in_progress(job_id) for job_id in ids])
    for queue in (QUEUE, MAIL):
        await pool.zadd(queue, dict.fromkeys(ids, await now_of(pool) - 0.5), xx=True)


async def test_commit_forgets_a_wish_to_end_the_job(pool: TaskPool, me: Hand) -> None:
    """What was asked of a job that has ended is asked no more; wishes for others stay."""
    await enqueue(pool, "a")
    await me.claim()
    await pool.zadd(keys.ABORTS, {"a": 1, "b": 1})
    await me.commit(Done("a"))
    assert await pool.zrange(keys.ABORTS, 0, -1) == [b"b"]


# whose lease it is


@pytest.mark.parametrize("away", [False, True])
async def test_commit_of_another_workers_job_changes_nothing(
    away: bool,  # noqa: FBT001
    pool: TaskPool,
    me: Hand,
    other: Hand,
) -> None:
    """A worker that lost its lease can neither end the job nor leave a word; its other jobs are recorded."""
    await enqueue(pool, "a", "mine")
    await me.claim(slots=1)
    await lapse(pool, "a")
    await other.claim(slots=1)
    await me.claim()
    found = await everything(pool)
    assert await me.commit(WHOLE, away=away) == [0]
    assert await everything(pool) == found
    assert await me.commit(Done("mine"), WHOLE, away=away) == [1, 0]
    assert await pool.zrange(QUEUE, 0, -1) == [b"a"]
    assert not await pool.exists(keys.result("a"), keys.history("failed"), keys.DEAD, keys.dead_letter("a"))


@pytest.mark.parametrize("stamp", ["1:2", "2:1"])
async def test_commit_tells_the_starts_of_one_worker_apart(stamp: str, pool: TaskPool, me: Hand) -> None:
    """Another start of the same worker, of the same number even, cannot end this one."""
    await enqueue(pool, "a")
    await me.claim()
    me.stamps["a"] = stamp
    found = await everything(pool)
    assert await me.commit(WHOLE, away=True) == [0]
    assert await everything(pool) == found


async def test_commit_of_a_lapsed_lease_needs_the_flag(pool: TaskPool, me: Hand) -> None:
    """A lapsed lease counts only for a worker for which Redis was away."""
    await enqueue(pool, "a")
    await me.claim()
    await lapse(pool, "a")
    found = await everything(pool)
    assert await me.commit(WHOLE) == [0]
    assert await everything(pool) == found
    assert await me.commit(Done("a"), away=True) == [1]
    assert await names(pool) == {keys.result("a")}


@pytest.mark.parametrize("kept", [-1, KEEP])
async def test_commit_sees_that_somebody_had_the_job_in_between(
    kept: int, pool: TaskPool, me: Hand, other: Hand
) -> None:
    """When another worker has claimed the job and lost it as well, the number of starts tells; nothing is changed."""
    await enqueue(pool, "a")
    await me.claim()
    await lapse(pool, "a")
    await other.claim()
    await lapse(pool, "a")
    found = await everything(pool)
    assert await me.commit(WHOLE._replace(keep_result=kept), away=True) == [0]
    assert await everything(pool) == found


@pytest.mark.parametrize("kept", [-1, KEEP])
@pytest.mark.parametrize("keep_claim", [0, 5_000])
async def test_commit_whose_answer_was_lost_counts_when_repeated(
    kept: int, keep_claim: int, pool: TaskPool, me: Hand
) -> None:
    """A worker that did not hear the answer asks again, is told that the end is recorded, and records no second one."""
    await enqueue(pool, "a")
    await me.claim()
    end = WHOLE._replace(keep_result=kept, keep_claim=keep_claim)
    await me.commit(end)
    found = await names(pool)
    assert await me.commit(end, away=True) == [1]
    assert await names(pool) == found
    assert await pool.zrange(keys.history("failed"), 0, -1) == [b"line"]
    assert await pool.zrange(keys.DEAD, 0, -1) == [b"a"]
    assert await pool.get(keys.dead_letter("a")) == RESULT
    assert await pool.get(keys.result("a")) == (None if kept < 0 else RESULT)


@pytest.mark.parametrize("keep_claim", [0, 5_000])
async def test_commit_whose_answer_was_lost_brings_back_no_dead_letter(
    keep_claim: int, pool: TaskPool, me: Hand
) -> None:
    """What has been discarded between the call and its repetition stays so, and nobody is told again."""
    await enqueue(pool, "a")
    await me.claim()
    end = WHOLE._replace(keep_claim=keep_claim)
    await me.commit(end)
    await pool.delete(keys.DEAD, keys.dead_letter("a"), keys.history("failed"))
    found = await everything(pool)
    async with listening(pool) as listener:
        assert await me.commit(end, away=True) == [1]
        assert await listener.told() == []
    assert await everything(pool) == found


@pytest.mark.parametrize("kept", [0, KEEP])
async def test_commit_does_not_overwrite_another_workers_result(
    kept: int, pool: TaskPool, me: Hand, other: Hand
) -> None:
    """Where the job has been ended by somebody else, theirs stays, and ours is refused."""
    await enqueue(pool, "a")
    await me.claim()
    await lapse(pool, "a")
    await other.claim()
    assert await other.commit(Done("a", b"theirs")) == [1]
    found = await everything(pool)
    for away in (False, True):
        assert await me.commit(WHOLE._replace(keep_result=kept), away=away) == [0]
    assert await everything(pool) == found


async def test_commit_does_not_undo_a_cancel(pool: TaskPool, me: Hand) -> None:
    """A job that was cancelled while its lease had lapsed stays cancelled."""
    await enqueue(pool, "a")
    await me.claim()
    await lapse(pool, "a")
    assert await cancel(pool, "a") == b"cancelled"
    found = await everything(pool)
    assert await me.commit(WHOLE, away=True) == [0]
    assert await everything(pool) == found


# limits, and who listens


async def test_commit_frees_a_place_of_the_limit(pool: TaskPool, me: Hand) -> None:
    """A job that has ended takes up no place of its own task, nor stands anywhere in line; others do."""
    client = pool.pipeline()
    for group in ("task", "other"):
        client.sadd(keys.places(group), "a", "b")
        client.zadd(keys.turns(group), {"a": 1, "b": 1})
        client.hset(keys.homes(group), mapping={"a": QUEUE, "b": QUEUE})
    await client.execute()
    await enqueue(pool, "a")
    await me.claim()
    await me.commit(Done("a", group="task"))
    for group in ("task", "other"):
        client.smembers(keys.places(group))
        client.zrange(keys.turns(group), 0, -1)
        client.hkeys(keys.homes(group))
    assert await client.execute() == [{b"b"}, [b"b"], [b"b"], {b"a", b"b"}, [b"a", b"b"], [b"a", b"b"]]


async def test_commit_tells_those_who_listen(pool: TaskPool, me: Hand, other: Hand) -> None:
    """The ids that were recorded are told by status; one whose lease was lost is not among them."""
    await enqueue(pool, "theirs", due=1)
    await enqueue(pool, "a", "b", "c")
    await me.claim(slots=1)
    await lapse(pool, "theirs")
    await other.claim(slots=1)
    await me.claim()
    async with listening(pool) as listener:
        await me.commit(Done("theirs"))
        await me.commit(Done("a"), Done("b", status="failed"), Done("c"), Done("theirs"))
        told = await listener.told()
    assert sorted(map(str, told)) == ["{'failed': ['b']}", "{'success': ['a', 'c']}"]


async def test_commit_publishes_nothing_where_nobody_listens(pool: TaskPool, me: Hand) -> None:
    """Without a subscriber no message is made."""
    await enqueue(pool, "a")
    await me.claim()
    await pool.config_resetstat()
    await me.commit(Done("a"))
    assert "cmdstat_publish" not in await pool.info("commandstats")
